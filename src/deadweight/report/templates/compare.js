// The comparison: sort, filter, and how each figure was got. Without scripts the tables stay as they are, in the suite's own order.
const opens = (cell, title, told, variant) => {
  const button = make("button", { type: "button", class: "cell" }, cell.firstChild);
  cell.prepend(button);
  button.addEventListener("click", () => {
    const [words, command, changes] = told();
    const figure = [...cell.childNodes].filter((node) => node.tagName !== "A").map((node) => node.textContent.trim()).filter(Boolean).join(", ");
    showPanel(
      title,
      make("p", {}, make("strong", {}, figure)),
      make("p", {}, words),
      command && make("p", {}, "The command that measures it:"),
      command && commandLine(command),
      changes && make("h3", {}, "Since the earlier report"),
      changes && make("ul", {}, ...changes.map((text) => make("li", {}, text))),
      make("p", {}, make("a", { href: `#variant-${variant}` }, `All of ${variant}`)),
    );
  });
};
// What was not measured stays last, whichever way the rest is sorted.
const sortRows = (table, index, down) => {
  const numeric = table.tHead.rows[0].cells[index].classList.contains("number");
  const compare = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b));
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [left, right] = [a, b].map((row) => row.cells[index].dataset.sort);
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
    return (down ? -1 : 1) * compare(left, right);
  });
  table.tBodies[0].append(...rows);
};
const comparisons = [...document.querySelectorAll("table.comparison")];
for (const table of comparisons) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortRows(table, index, down);
    });
  });
  for (const row of body.rows) {
    const variant = row.dataset.variant;
    for (const cell of [...row.cells].slice(1)) {
      const { key, label } = cell.dataset;
      opens(cell, `${variant}: ${label}`, () => [...got(variant, key), data.changes[variant]?.[key]], variant);
    }
  }
}
// The other tables: a figure of theirs opens to the same; in the history, to the report that it stood in.
for (const table of document.querySelectorAll("table.figures")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const row of table.tBodies[0].rows) {
    const variant = row.dataset.variant;
    let column = 0;
    for (const cell of row.cells) {
      const head = heads[column].textContent;
      column += cell.colSpan;
      if (cell.tagName === "TH" || !cell.textContent.trim()) continue;
      const key = cell.dataset.key ?? table.dataset.key;
      const told = key === "history" ? [`Told by the report of ${head}.`, "invoke report --history"] : got(variant, key);
      opens(cell, `${variant}: ${head}`, () => told, variant);
    }
  }
}
// Cards have no headings: there the same is chosen from a list, the better end first.
const sorting = document.getElementById("sort");
const BETTER_IS_MORE = ["ratio", "attacks", "checks"];
const titles = new Map(comparisons.flatMap((table) => [...table.tBodies[0].rows[0].cells].slice(1)).map((cell) => [cell.dataset.key, cell.dataset.label]));
sorting.append(make("option", { value: "" }, "as written"), ...[...titles].map(([key, title]) => make("option", { value: key }, title)));
const asWritten = comparisons.map((table) => [...table.tBodies[0].rows]);
sorting.addEventListener("input", () => {
  comparisons.forEach((table, number) => {
    const index = asWritten[number][0].querySelector(`[data-key="${sorting.value}"]`)?.cellIndex;
    if (sorting.value === "") table.tBodies[0].append(...asWritten[number]);
    else if (index !== undefined) sortRows(table, index, BETTER_IS_MORE.includes(sorting.value));
  });
});
const find = document.getElementById("find");
const ladder = document.getElementById("ladder");
const onlyFailed = document.getElementById("failed");
const onlyChanged = document.getElementById("changed");
const unsure = (row) => row.classList.contains("wrong") || row.querySelector('[data-key="checks"] :is(.bad, .warn, .muted)');
const filter = () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = new Set();
  let all = 0;
  for (const box of document.querySelectorAll("[data-ladder]")) {
    let any = false;
    for (const row of box.querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      const fits = (!ladder.value || box.dataset.ladder === ladder.value) && (!onlyFailed.checked || unsure(row)) && (!onlyChanged?.checked || row.dataset.changed !== undefined) && words.every((word) => text.includes(word));
      row.hidden = !fits;
      all += 1;
      any ||= fits;
      if (fits) shown.add(row.dataset.variant);
    }
    box.hidden = !any;
  }
  for (const other of document.querySelectorAll("details[data-variant], .plain tr[data-variant]")) other.hidden = !shown.has(other.dataset.variant);
  document.getElementById("shown").textContent = shown.size === all ? "" : `${shown.size} of ${plural(all, "variant")} shown`;
};
for (const control of [find, ladder, onlyFailed, onlyChanged]) control?.addEventListener("input", filter);
document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("tools").hidden = false;
