// One image's bytes: a map that zooms (layer, folder, file) beside the same as a tree, hidden files marked.
const colours = ["#1f6f8b", "#8a5a1e", "#4c7030", "#94486a", "#4f5d95", "#27766b", "#77593a", "#6b6420"];
const rooted = (path) => (path.startsWith("/") ? path : `/${path}`);
// By layer and path: how often that file's content is stored, and where else.
const copiesOf = (copies) => {
  const found = new Map();
  for (const [path, , layer, group, count] of copies) {
    const others = copies.filter((each) => each[3] === group && (each[0] !== path || each[2] !== layer)).slice(0, 3);
    const places = others.map(([other, , where]) => `${rooted(other)} (layer ${where + 1})`).join(", ");
    found.set(`${layer} ${rooted(path)}`, `stored ${count} times: also ${places}${count - 1 > others.length ? " and more" : ""}`);
  }
  return found;
};
const layerTree = (found) => {
  const top = { name: "all layers", size: 0, children: [] };
  found.layers.forEach(([size, instruction], index) => top.children.push({ name: `layer ${index + 1}`, note: instruction, size, children: [] }));
  const child = (parent, name) => {
    let next = parent.children.find((each) => each.name === name);
    if (!next) parent.children.push((next = { name, size: 0, children: [] }));
    return next;
  };
  for (const [layer, folder, size] of found.folders) {
    let node = top.children[layer];
    for (const part of folder === "…" ? ["other folders"] : folder.split("/").filter(Boolean)) {
      node = child(node, part);
      node.size += size;
    }
  }
  const file = (path, size, layer, extra) => {
    let node = top.children[layer];
    const parts = path.split("/").filter(Boolean);
    const name = parts.pop();
    for (let next = node; next; parts.shift()) {
      node = next;
      next = parts.length ? node.children.find((each) => each.name === parts[0] && !each.leaf) : undefined;
      if (!next) break;
    }
    node?.children.push({ name: [...parts, name].join("/"), size, leaf: true, children: [], ...extra });
  };
  const [copies, known] = [copiesOf(found.copies), new Set()];
  const placed = (path, size, layer, extra = {}) => {
    const key = `${layer} ${rooted(path)}`;
    if (!known.has(key)) file(path, size, layer, { ...extra, copies: copies.get(key) });
    known.add(key);
  };
  for (const [path, size, layer, by, how, secret] of found.hidden) placed(path, size, layer, { hidden: `${how} in layer ${by + 1}`, secret });
  for (const [path, size, layer] of found.heavy) if (layer !== null) placed(path, size, layer);
  for (const [path, size, layer] of found.copies) placed(path, size, layer);
  const complete = (node) => {
    node.children.forEach(complete);
    const known = node.children.reduce((sum, each) => sum + each.size, 0);
    node.size = Math.max(node.size, known);
    if (node.children.length && node.size - known > node.size / 200) node.children.push({ name: "other files", size: node.size - known, leaf: true, children: [] });
    node.children.sort((a, b) => b.size - a.size);
  };
  top.children.forEach((node) => complete(node));
  top.size = top.children.reduce((sum, each) => sum + each.size, 0);
  return top;
};
const shares = (items, x, y, width, height, out = []) => {
  // Halves by weight, along the longer side, until each has its own place.
  if (!items.length || width < 1 || height < 1) return out;
  if (items.length === 1) return out.push([items[0], x, y, width, height]), out;
  const total = items.reduce((sum, each) => sum + each.size, 0) || 1;
  let [count, weight] = [0, 0];
  while (count < items.length - 1 && (count === 0 || weight + items[count].size <= total / 2)) weight += items[count++].size;
  const share = weight / total;
  const [first, rest] = [items.slice(0, count), items.slice(count)];
  if (width >= height) return shares(first, x, y, width * share, height, out), shares(rest, x + width * share, y, width * (1 - share), height, out);
  return shares(first, x, y, width, height * share, out), shares(rest, x, y + height * share, width, height * (1 - share), out);
};
const svgNode = (tag, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const branch = (node, depth = 0) => {
  const mark = node.hidden ? make("span", { class: "hiddenfile" }, ` hidden: ${node.hidden}${node.secret ? `; secret: ${node.secret}` : ""}`) : "";
  const copies = node.copies ? make("span", { class: "copy" }, ` ${node.copies}`) : "";
  const line = [make("b", {}, bytes(node.size)), ` ${node.name}`, node.note ? make("code", {}, ` ${node.note}`) : "", mark, copies];
  if (!node.children.length) return make("li", {}, ...line);
  const box = make("details", {}, make("summary", {}, ...line));
  // Branches grow when they are opened.
  box.addEventListener("toggle", () => box.open && box.children.length === 1 && box.append(make("ul", {}, ...node.children.map((each) => branch(each, depth + 1)))));
  return make("li", {}, box);
};
drawers.layers = (place, { dataset: { variant } }) => {
  const found = data.layers[variant];
  const top = layerTree(found);
  const crumbs = make("div", { class: "crumbs" });
  const picture = make("div");
  const tree = make("div", { class: "tree", tabindex: "0", role: "region", "aria-label": `${variant}: files by layer` });
  const zoom = (path) => {
    const node = path.at(-1);
    crumbs.replaceChildren(...path.map((each, index) => {
      const button = make("button", { type: "button" }, `${each.name}, ${bytes(each.size)}`);
      button.addEventListener("click", () => zoom(path.slice(0, index + 1)));
      return button;
    }));
    const items = node.children.filter((each) => each.size > 0);
    const svg = svgNode("svg", { viewBox: "0 0 600 300", role: "group", "aria-label": `${variant}: ${node.name}, bytes as areas` });
    shares(items, 0, 0, 600, 300).forEach(([item, x, y, width, height], index) => {
      const words = `${item.name}, ${bytes(item.size)}${item.hidden ? `, hidden: ${item.hidden}` : ""}${item.copies ? `, ${item.copies}` : ""}`;
      const fits = width > 8 * Math.min(item.name.length, 12) && height > 14;
      const letters = Math.max(1, Math.floor(width / 7) - 1);
      const deeper = item.children.length > 0;
      const group = svgNode("g", deeper ? { tabindex: "0", role: "button", "aria-label": `open ${words}` } : { role: "img", "aria-label": words },
        svgNode("title", {}, words),
        svgNode("rect", { x, y, width, height, fill: item.hidden ? "#a3271c" : colours[index % colours.length], class: item.hidden ? "hidden" : item.copies ? "copy" : "" }));
      if (fits) group.append(svgNode("text", { x: x + 4, y: y + 13 }, item.name.length > letters ? `${item.name.slice(0, letters)}…` : item.name));
      if (deeper) {
        group.addEventListener("click", () => zoom([...path, item]));
        group.addEventListener("keydown", (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          zoom([...path, item]);
          crumbs.lastChild.focus();
        });
      }
      svg.append(group);
    });
    picture.replaceChildren(items.length ? svg : make("p", { class: "note" }, "Nothing is known below this."));
    tree.replaceChildren(make("ul", {}, ...node.children.map((each) => branch(each))));
  };
  zoom([top]);
  const more = found.hidden_files - found.hidden.length;
  const secrets = found.secrets.map(([rule, where, fingerprint]) => make("li", {}, `${rule} in `, make("code", {}, where), ` (${fingerprint})`));
  const packages = found.packages.map(([name, version, kind, size]) => `${name} ${version} (${kind}, ${bytes(size)})`).join("; ");
  place.append(
    crumbs,
    make("div", { class: "map" }, picture, tree),
    make("p", { class: "note" }, `Red: hidden, still in the image. Dashed: the same content is stored more than once.${more > 0 ? ` ${plural(more, "more hidden file")} in report.json.` : ""} ${bytes(found.duplicated)} are copies.`),
    secrets.length ? make("p", {}, make("strong", {}, "Secrets that are not hidden")) : "",
    secrets.length ? make("ul", {}, ...secrets) : "",
    found.packages_total ? make("p", { class: "note" }, `${plural(found.packages_total, "package")}, the heaviest: ${packages}`) : "",
    commandLine(`invoke layers --variant ${quoted(variant)}`),
  );
};
