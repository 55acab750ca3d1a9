// History: one figure at a time, and a line of it over all reports that the page carries. Without scripts: size and findings.
const overTime = document.getElementById("over-time");
if (overTime) {
  const table = document.querySelector("#history table");
  const seconds = (value) => (value < 0.1 ? `${Math.round(value * 1000)} ms` : `${Number(value.toPrecision(3))} s`);
  const words = { size: bytes, findings: (count) => count.toLocaleString("en"), attacks: ([held, tried]) => `${held}/${tried}`, startup: seconds, build: seconds };
  const height = (value) => (Array.isArray(value) ? value[0] / value[1] : value);
  const picture = (values, tell) => {
    const known = values.map((value, index) => [index, value]).filter(([, value]) => value !== null);
    if (known.length < 2) return "";
    const heights = known.map(([, value]) => height(value));
    const [low, high] = [Math.min(...heights), Math.max(...heights)];
    const points = known.map(([index], place) => `${(2 + (96 * index) / (values.length - 1)).toFixed(1)},${high > low ? (16 - (14 * (heights[place] - low)) / (high - low)).toFixed(1) : 9}`);
    const svg = (name, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return node;
    };
    const label = `from ${tell(known[0][1])} to ${tell(known.at(-1)[1])} in ${plural(known.length, "report")}`;
    const whole = svg("svg", { viewBox: "0 0 100 18", width: 100, height: 18, role: "img", "aria-label": label });
    whole.append(svg("polyline", { points: points.join(" "), fill: "none", stroke: "currentColor", "stroke-width": 1.5 }));
    return whole;
  };
  table.tHead.rows[0].append(make("th", { scope: "col" }, "Over time"));
  for (const row of table.tBodies[0].rows) row.append(make("td", { class: "trend" }));
  const show = () => {
    const tell = words[overTime.value];
    const figure = Object.keys(words).indexOf(overTime.value); // as they stand in the data
    for (const row of table.tBodies[0].rows) {
      const values = data.history[row.dataset.variant].map((point) => point && point[figure]);
      const cells = [...row.cells].slice(1, -1);
      cells.forEach((cell, index) => {
        const value = values[values.length - cells.length + index];
        cell.firstChild.textContent = value === null ? "–" : tell(value);
      });
      row.cells[row.cells.length - 1].replaceChildren(picture(values, tell));
    }
  };
  overTime.addEventListener("input", show);
  overTime.form.addEventListener("submit", (event) => event.preventDefault());
  show();
}
