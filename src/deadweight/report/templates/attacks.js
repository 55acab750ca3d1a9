// An attack's evidence, by variant and posture, when it is opened.
const evidence = JSON.parse(document.getElementById("data").textContent);
drawers.attack = (place, box) => {
  const { postures, cells, texts } = evidence;
  for (const [variant, found] of Object.entries(cells)) {
    const rows = postures.map((posture) => [posture, found[posture]?.[Number(box.dataset.payload)]]).filter(([, cell]) => cell?.[0]);
    if (!rows.length) continue;
    const parts = rows.map(([posture, [words, proof]]) => make("li", {}, `${posture}: ${texts[words]}`, texts[proof] && make("pre", { tabindex: "0" }, texts[proof])));
    place.append(make("details", {}, make("summary", {}, variant), make("ul", {}, ...parts), commandLine(`invoke attack --variant ${quoted(variant)} --posture ${rows.at(-1)[0]}`)));
  }
};
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
