"use strict";
document.documentElement.classList.add("js");
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== "" && child != null));
  return node;
};
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
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
  openTarget();
});
