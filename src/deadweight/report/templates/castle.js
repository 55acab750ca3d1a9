// The heat map: arrow keys move from cell to cell, walls are named where the focus or the pointer is, Enter or a click opens the evidence.
const castle = document.getElementById("castle");
if (castle) {
  const { postures, payloads, told, cells, outcomes, texts } = data.attacks;
  const variants = [...castle.tHead.rows[0].cells].slice(1).map((head) => head.dataset.variant);
  const rows = [...castle.tBodies[0].rows].filter((row) => row.dataset.payload !== undefined);
  const at = (row, column) => rows[row]?.cells[column + 1];
  const place = (cell) => [Number(cell.parentElement.dataset.payload), cell.cellIndex - 1];
  const found = (row, column) => postures.map((name) => [name, cells[variants[column]]?.[name]?.[row]]).filter(([, cell]) => cell);
  const title = (row) => told[row][0] ?? payloads[row];
  const say = (cell) => {
    const [row, column] = place(cell);
    const words = found(row, column).map(([name, each]) => `${name}: ${texts[each[1]]}`);
    document.getElementById("walls").textContent = `${variants[column]}, ${title(row)}: ${words.join("; ") || "not measured"}`;
  };
  const open = (cell) => {
    const [row, column] = place(cell);
    const variant = variants[column];
    const parts = found(row, column).flatMap(([name, [outcome, words, reason, evidence]]) => [
      make("h3", {}, `${name}: `, make("span", { class: outcomes[outcome] === "succeeded" ? "bad" : "" }, texts[words])),
      texts[reason] && make("p", {}, texts[reason]),
      texts[evidence] && make("pre", { tabindex: "0" }, texts[evidence]),
      outcomes[outcome] !== "not_applicable" && commandLine(`invoke attack --variant ${quoted(variant)} --posture ${name}`),
    ]);
    const [, gives, reference, technique] = told[row];
    const facts = [gives && `gives ${gives}`, technique && `ATT&CK ${technique}`, reference].filter(Boolean).join(" · ");
    showPanel(`${variant}: ${title(row)}`, facts && make("p", { class: "note" }, facts), ...parts, make("p", { class: "note" }, `All evidence: report.json, variants.${variant}.attacks`));
  };
  for (const row of castle.querySelectorAll("tr.sums")) {
    [...row.cells].slice(1).forEach((cell, index) => {
      const [words, line] = got(variants[index], "attacks");
      opens(cell, `${variants[index]}: ${row.cells[0].textContent}`, () => [words, `${line} --posture ${row.dataset.posture}`], variants[index]);
    });
  }
  castle.setAttribute("role", "grid");
  for (const cell of castle.querySelectorAll("tbody td")) cell.tabIndex = -1;
  if (at(0, 0)) at(0, 0).tabIndex = 0;
  castle.addEventListener("focusin", ({ target }) => target.matches("tbody td") && say(target));
  castle.addEventListener("mouseover", ({ target }) => target.matches("tbody td") && say(target));
  castle.addEventListener("click", ({ target }) => {
    if (!target.matches("tbody td")) return;
    target.focus();
    open(target);
  });
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  castle.addEventListener("keydown", (event) => {
    const cell = event.target;
    if (!cell.matches("tbody td")) return;
    const [row, column] = place(cell);
    if (event.key === "Enter" || event.key === " ") open(cell);
    else if (moves[event.key]) {
      const next = at(row + moves[event.key][0], column + moves[event.key][1]);
      if (next?.tagName === "TD") {
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    } else return;
    event.preventDefault();
  });
}
