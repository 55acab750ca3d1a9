// An attack's evidence, by variant and posture, when it is opened.
drawers.attack = (place, box) => {
  const { postures, cells, texts, outcomes } = data.attacks;
  const index = Number(box.dataset.payload);
  for (const [variant, found] of Object.entries(cells)) {
    const rows = postures.map((posture) => [posture, found[posture]?.[index]]).filter(([, cell]) => cell);
    if (!rows.length) continue;
    const parts = rows.map(([posture, [outcome, words, reason, evidence]]) => make("li", {}, `${posture}: `,
      make("span", { class: outcomes[outcome] === "succeeded" ? "bad" : "" }, texts[words]), texts[reason] && ` (${texts[reason]})`,
      texts[evidence] && make("pre", { tabindex: "0" }, texts[evidence])));
    const [last] = rows.at(-1);
    place.append(make("details", {}, make("summary", {}, variant), make("ul", {}, ...parts), commandLine(`invoke attack --variant ${quoted(variant)} --posture ${last}`)));
  }
};
