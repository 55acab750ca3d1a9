"use strict";
// What is drawn comes from the JSON in the page, as text: nothing of it is ever parsed as markup.
document.documentElement.classList.add("js");
const data = JSON.parse(document.getElementById("data").textContent);
// How a figure was got, and the command that gets it anew.
const got = (variant, column) => data.got[variant][column].map((index) => data.words[index]);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== "" && child != null));
  return node;
};
const bytes = (count) => {
  let [value, unit] = [count, "B"];
  for (const next of ["kB", "MB", "GB"]) if (value >= 999.5) [value, unit] = [value / 1000, next];
  return `${unit === "B" ? value : Number(value.toPrecision(3))} ${unit}`;
};
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const quiet = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const quoted = (name) => (/^[\w.+-]+$/.test(name) ? name : quiet(name));
const commandLine = (text) => {
  const button = make("button", { type: "button" }, "Copy");
  const code = make("code", {}, text);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // no clipboard from a file: it is selected, ready for Ctrl-C
      button.textContent = "Selected";
    }
  });
  return make("div", { class: "line" }, code, button);
};
const panel = document.getElementById("panel");
let cameFrom = null;
const showPanel = (title, ...body) => {
  if (panel.hidden) cameFrom = document.activeElement;
  document.getElementById("panel-title").textContent = title;
  document.getElementById("panel-body").replaceChildren(...body.filter((each) => each));
  panel.hidden = false;
  panel.focus({ preventScroll: true });
};
const hidePanel = () => {
  if (panel.hidden) return;
  panel.hidden = true;
  cameFrom?.focus({ preventScroll: true });
};
document.getElementById("panel-close").addEventListener("click", hidePanel);
document.addEventListener("keydown", (event) => event.key === "Escape" && hidePanel());
// A table that scrolls by itself; each row begins with its heading, and the rest of it are cells.
const tableOf = (caption, heads, rows) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
  make("table", { class: "plain" }, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map(([head, ...cells]) => make("tr", {}, make("th", { scope: "row" }, head), ...cells)))));
const drawers = {};
const FIGURES = { Size: "size", Build: "build", "Start-up": "startup", Layers: "found", Attacks: "attacks", Vulnerabilities: "vulnerabilities" };
drawers.checks = (place, variant) => {
  const [checks, facts, commands] = data.boxes[variant];
  const list = make("dl", { class: "facts" });
  const tell = (title, ...told) => list.append(make("dt", {}, title), make("dd", {}, ...told));
  facts.forEach(([title, text]) => tell(title, text));
  for (const [name, column] of Object.entries(FIGURES)) tell(name, got(variant, column)[0]);
  tell("Again", make("div", { class: "commands" }, ...commands.map(commandLine)));
  if (checks.length) place.append(tableOf(`Checks of ${variant}`, ["Check", "Outcome", "Finding"], checks.map(([name, tone, outcome, reason]) => [
    name, make("td", { class: tone }, outcome), make("td", { class: "wrap" }, reason),
  ])));
  place.append(list);
  for (const [check, words] of data.checks[variant] ?? []) {
    place.append(make("details", {}, make("summary", {}, `Evidence of ${check}`), make("pre", { tabindex: "0" }, words)));
  }
};
// A closed box is filled when it is opened for the first time.
const drawWhenOpened = (box) => {
  const place = box.querySelector("[data-draw]");
  const draw = () => {
    if (!box.open) return;
    if (place && !place.firstChild) drawers[place.dataset.draw](place, box.dataset.variant);
  };
  box.addEventListener("toggle", draw);
  draw(); // it may be open already
};
// A link to something inside a closed box opens it.
const openTarget = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
  target?.scrollIntoView({ behavior: "instant" });
};
addEventListener("hashchange", openTarget);
const root = document.documentElement;
document.getElementById("theme").addEventListener("change", (event) => {
  if (event.target.value) root.dataset.theme = event.target.value;
  else delete root.dataset.theme;
});
addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("details").forEach(drawWhenOpened);
  openTarget();
});
