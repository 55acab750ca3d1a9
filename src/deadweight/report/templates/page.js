"use strict";
// What is drawn comes from the JSON in the page, as text: nothing of it is ever parsed as markup.
document.documentElement.classList.add("js");
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== "" && child != null));
  return node;
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
const drawers = {};
// A closed box is filled when it is opened for the first time.
const drawWhenOpened = (box) => {
  const place = box.querySelector(":scope > [data-draw]");
  const draw = () => box.open && !box.dataset.printed && place && !place.firstChild && drawers[place.dataset.draw](place, box);
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
// Print what is closed, too, but for the raw evidence.
addEventListener("beforeprint", () => document.querySelectorAll(":is(section > details, .attack):not([open])").forEach((box) => {
  box.open = box.dataset.printed = true;
}));
addEventListener("afterprint", () => document.querySelectorAll("[data-printed]").forEach((box) => {
  box.open = false;
  delete box.dataset.printed;
}));
addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("details").forEach(drawWhenOpened);
  openTarget();
});
