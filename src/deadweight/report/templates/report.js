"use strict";
// Makes the comparison tables sortable. Without scripts the tables stay as they are, in the suite's own order.
for (const table of document.querySelectorAll("table.comparison")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, index) => row.cells[index].dataset.sort;
  const compare = (a, b, numeric) => (numeric ? Number(a) - Number(b) : a.localeCompare(b));
  heads.forEach((head, index) => {
    const numeric = head.classList.contains("number");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => {
        const [left, right] = [value(a, index), value(b, index)];
        // What was not measured stays last, whichever way the rest is sorted.
        if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
        return (down ? -1 : 1) * compare(left, right, numeric);
      });
      body.append(...rows);
    });
  });
}
