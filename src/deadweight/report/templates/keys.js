// Figures: one stop for Tab in each row; from there arrow keys move, and pass over hidden rows.
const stopAt = (button) => {
  for (const other of button.closest("tr").querySelectorAll("button.cell")) other.tabIndex = other === button ? 0 : -1;
};
for (const row of document.querySelectorAll("tr:has(button.cell)")) stopAt(row.querySelector("button.cell"));
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
document.addEventListener("focusin", ({ target }) => target.matches("button.cell") && stopAt(target));
document.addEventListener("keydown", (event) => {
  if (!event.target.matches("button.cell") || !MOVES[event.key]) return;
  const [down, right] = MOVES[event.key];
  const cell = event.target.closest("td");
  const rows = [...cell.parentElement.parentElement.rows].filter((row) => !row.hidden);
  const row = down ? rows[rows.indexOf(cell.parentElement) + down] : cell.parentElement;
  const cells = [...(row?.cells ?? [])].filter((each) => each.querySelector("button.cell"));
  const next = down ? (cells.find((each) => each.cellIndex >= cell.cellIndex) ?? cells.at(-1)) : cells[cells.indexOf(cell) + right];
  event.preventDefault();
  next?.querySelector("button.cell").focus();
});
