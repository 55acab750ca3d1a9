// Every finding by package: those with most first. A package's rows are made when it is opened.
drawers.findings = (place) => {
  const { rows, in: within, left_out: leftOut } = data.findings;
  const packages = new Map();
  for (const row of rows) packages.set(row[0], [...(packages.get(row[0]) ?? []), row]);
  const reach = (value) => ({ 1: "used", 0: "not used by the operations asked" })[value] ?? "not watched";
  const list = make("div");
  const one = ([name, found]) => {
    const worst = data.severities[Math.min(...found.map((row) => row[2]))];
    const who = within[name].map((index) => data.variants[index]).join(", ");
    const box = make("details", {}, make("summary", {}, make("strong", {}, name), ` ${plural(found.length, "CVE")}, worst ${worst}, ${reach(Math.max(...found.map((row) => row[4])))}`));
    box.addEventListener("toggle", () => {
      if (!box.open || box.children.length > 1) return;
      box.append(make("p", { class: "note" }, `In ${who}`), make("ul", {}, ...found.map(([, id, severity, fixed, reached, title]) =>
        make("li", {}, make("code", {}, id), `, ${data.severities[severity]}, ${fixed ? `fixed in ${fixed}` : "no fix"}, ${reach(reached)}${title ? `: ${title}` : ""}`))));
    });
    return box;
  };
  const search = make("input", { type: "search", "aria-label": "Find a package or an id", placeholder: "package or id" });
  const show = () => {
    const wanted = search.value.toLowerCase();
    const fitting = [...packages].filter(([name, found]) => name.toLowerCase().includes(wanted) || found.some((row) => row[1].toLowerCase().includes(wanted)));
    list.replaceChildren(...fitting.slice(0, 200).map(one));
    if (fitting.length > 200) list.append(make("p", { class: "note" }, `${plural(fitting.length - 200, "more package")}: search for them.`));
  };
  search.addEventListener("input", show);
  show();
  place.append(search, list);
  if (leftOut) place.append(make("p", { class: "note" }, `${plural(leftOut, "more CVE")} in report.json.`));
};
