// The table: sort and filter. Without scripts it stays in the suite's own order.
const comparisons = [...document.querySelectorAll("table.comparison")];
// What was not measured stays last, whichever way the rest is sorted.
const sortRows = (table, index, down) => {
  const numeric = table.tHead.rows[0].cells[index].classList.contains("number") || index > 1;
  const compare = (a, b) => (numeric && !Number.isNaN(Number(a)) ? Number(a) - Number(b) : a.localeCompare(b));
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [left, right] = [a, b].map((row) => row.cells[index].dataset.sort);
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
    return (down ? -1 : 1) * compare(left, right);
  });
  table.tBodies[0].append(...rows);
};
for (const table of comparisons) {
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
}
// Cards have no headings: the list sorts too, the better end first.
const sorting = document.getElementById("sort");
const BETTER_IS_MORE = ["attacks", "checks"];
const titles = new Map([...document.querySelectorAll("table.comparison tbody td")].map((cell) => [cell.dataset.key, cell.dataset.label]));
sorting.append(...[...titles].map(([key, title]) => make("option", { value: key }, title)));
const asWritten = comparisons.map((table) => [...table.tBodies[0].rows]);
sorting.addEventListener("input", () => comparisons.forEach((table, number) => {
  const index = asWritten[number][0].querySelector(`[data-key="${sorting.value}"]`)?.cellIndex;
  if (sorting.value === "") table.tBodies[0].append(...asWritten[number]);
  else if (index !== undefined) sortRows(table, index, BETTER_IS_MORE.includes(sorting.value));
}));
const [find, ladder, onlyFailed, onlyChanged] = ["find", "ladder", "failed", "changed"].map((id) => document.getElementById(id));
const unsure = (row) => row.classList.contains("wrong") || row.querySelector('[data-key="checks"] :is(.bad, .warn, .muted)');
const filter = () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll("[data-ladder] tbody tr")];
  const fits = (row) => (!ladder.value || row.closest("[data-ladder]").dataset.ladder === ladder.value) && (!onlyFailed.checked || unsure(row))
    && (!onlyChanged?.checked || row.dataset.changed !== undefined) && words.every((word) => row.textContent.toLowerCase().includes(word));
  for (const row of rows) row.hidden = !fits(row);
  for (const box of document.querySelectorAll("[data-ladder]")) box.hidden = !box.querySelector("tbody tr:not([hidden])");
  const shown = new Set(rows.filter((row) => !row.hidden).map((row) => row.dataset.variant));
  for (const other of document.querySelectorAll("details[data-variant], #history tr[data-variant]")) other.hidden = !shown.has(other.dataset.variant);
  document.getElementById("shown").textContent = shown.size === rows.length ? "" : `${shown.size} of ${plural(rows.length, "variant")} shown`;
};
for (const control of [find, ladder, onlyFailed, onlyChanged]) control?.addEventListener("input", filter);
document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("tools").hidden = false;
// Every CVE: those that the words are in.
const search = document.getElementById("find-cve");
search?.addEventListener("input", () => {
  const wanted = search.value.toLowerCase();
  for (const group of document.querySelectorAll("#findings details")) {
    const name = group.firstElementChild.textContent.toLowerCase().includes(wanted);
    const rows = [...group.querySelectorAll("li")];
    for (const row of rows) row.hidden = !name && !row.textContent.toLowerCase().includes(wanted);
    group.hidden = rows.every((row) => row.hidden);
  }
});
