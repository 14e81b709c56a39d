// The charts besides the diagram. Shares are shown as a table with a bar in each row.

const CHART_HEIGHT = 190;
const FIRST_ROWS = 10;

function swatch(domain) {
  const colour = `var(--${colourVariable(domain)})`;
  const shapes = [
    "M6 2a4 4 0 1 0 .01 0z", "M2.5 2.5h7v7h-7z", "M6 1.5l4.6 8H1.4z", "M6 1l5 5-5 5-5-5z", "M6 10.5l4.6-8H1.4z", "M4 1.5h4L10.8 6 8 10.5H4L1.2 6z",
  ];
  return svgEl("svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" }, svgEl("path", { d: shapes[domain % 6], fill: colour }));
}

function legend() {
  return el("ul", { class: "legend", "aria-label": "Domains" }, data.domains.names.map((name, domain) => el("li", {}, swatch(domain), named(name))));
}

// A bar with a part for each domain; the amount `whole` fills the width.
function bar(parts, whole) {
  const made = el("div", { class: "bar", "aria-hidden": "true" });
  parts.forEach((count, domain) => {
    if (!count) return;
    const part = el("i");
    part.style.width = `${(100 * count) / whole}%`;
    part.style.background = domain === null ? "var(--soft)" : `var(--${colourVariable(domain)})`;
    made.append(part);
  });
  return made;
}

// Rows of {name, parts, total}, most first. A button shows the remaining rows.
function shareTable(caption, rows, plain = false) {
  const whole = rows.reduce((most, { total }) => Math.max(most, total), 1);
  const body = el("tbody");
  const row = ({ name, parts, total, mark = null }) => {
    const drawn = bar(parts, whole);
    if (plain) for (const part of drawn.children) part.style.background = "var(--soft)";
    return el(
      "tr",
      {},
      el("th", { scope: "row", class: "name", title: name }, mark, mark ? " " : null, named(name)),
      el("td", {}, drawn),
      el("td", { class: "number count" }, grouped(total)),
      el("td", { class: "number share" }, percent(total, data.ops)),
    );
  };
  body.append(...rows.slice(0, FIRST_ROWS).map(row));
  const head = el("tr", {}, el("th", { scope: "col", class: "name" }, caption), el("th", { scope: "col" }, el("span", { class: "unseen" }, "Bar")), el("th", { scope: "col", class: "number count" }, "Ops"), el("th", { scope: "col", class: "number share" }, "Share"));
  const made = el("div", {}, el("div", { class: rows.length > FIRST_ROWS ? "scroll" : "" }, el("table", { class: "shares" }, el("thead", {}, head), body)));
  if (rows.length > FIRST_ROWS) {
    const button = el("button", { type: "button" }, `Show all ${grouped(rows.length)}`);
    button.addEventListener("click", () => {
      body.append(...rows.slice(FIRST_ROWS).map(row));
      button.parentNode.remove();
    });
    made.append(el("div", { class: "more" }, button));
  }
  return made;
}

// Ops over wall time: a stacked column for each bin, and the same data as a table.
class Activity {
  // `showTime` shows the ops from one moment to another, both in milliseconds since 1970.
  constructor(showTime) {
    this.showBin = (bin) => showTime(data.activity.startMs + bin * data.activity.widthMs, data.activity.startMs + (bin + 1) * data.activity.widthMs - 1);
    this.plot = el("div", { class: "plot" });
    this.element = el("div", {}, this.plot, this.asTable());
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  time(bin) {
    return utc(data.activity.startMs + bin * data.activity.widthMs).slice(0, 23).replace(".000", "");
  }

  draw() {
    const width = this.plot.clientWidth;
    const { bins } = data.activity;
    if (!width || !bins.length) return;
    const totals = bins.map((parts) => parts.reduce((sum, count) => sum + count, 0));
    const step = roundStep(Math.max(...totals), 4);
    const most = Math.ceil(Math.max(...totals) / step) * step;
    const [left, bottom, top] = [20 + 7 * grouped(most).length, 24, 10];
    const [plotWidth, plotHeight] = [width - left - 8, CHART_HEIGHT - bottom - top];
    const y = (count) => top + plotHeight * (1 - count / most);
    const each = plotWidth / bins.length;
    const chart = svgEl("svg", { width, height: CHART_HEIGHT, viewBox: `0 0 ${width} ${CHART_HEIGHT}`, role: "img", "aria-label": `Ops over wall time, ${grouped(bins.length)} columns; the table below holds the numbers` });
    for (let count = 0; count <= most; count += step) {
      chart.append(
        svgEl("line", { class: "rule", x1: left, x2: width - 8, y1: Math.round(y(count)) + 0.5, y2: Math.round(y(count)) + 0.5 }),
        svgEl("text", { x: left - 8, y: y(count) + 4, "text-anchor": "end" }, grouped(count)),
      );
    }
    bins.forEach((parts, bin) => chart.append(this.column(parts, totals[bin], bin, left + bin * each, each, y)));
    chart.append(...this.ticks(left, plotWidth));
    this.plot.replaceChildren(chart);
  }

  // Labels at round times below the columns, as many as there is room for.
  ticks(left, plotWidth) {
    const { startMs, widthMs, bins } = data.activity;
    const span = widthMs * bins.length;
    return timeTicks(startMs, span - 1, plotWidth / 120).flatMap(([at, label]) => {
      const x = left + ((at - startMs) / span) * plotWidth;
      const anchor = x > left + plotWidth - 36 ? "end" : x < left + 36 ? "start" : "middle";
      return [
        svgEl("line", { class: "rule", x1: x, x2: x, y1: CHART_HEIGHT - 24, y2: CHART_HEIGHT - 20 }),
        svgEl("text", { x, y: CHART_HEIGHT - 7, "text-anchor": anchor }, label),
      ];
    });
  }

  column(parts, total, bin, x, each, y) {
    const made = svgEl("g", { class: "zooms" }, svgEl("title", {}, `${this.time(bin)}: ${pluralize(total, "op")}; click to see them`));
    made.addEventListener("click", () => this.showBin(bin));
    made.append(svgEl("rect", { x, y: y(0) - 160, width: each, height: 160, fill: "transparent" }));
    let below = 0;
    parts.forEach((count, domain) => {
      if (!count) return;
      const [low, high] = [y(below), y(below + count)];
      made.append(svgEl("rect", { x: x + 0.5, y: high, width: Math.max(each - 1, 1), height: Math.max(low - high, 0.5), fill: `var(--${colourVariable(domain)})` }));
      below += count;
    });
    return made;
  }

  asTable() {
    const { bins } = data.activity;
    if (!bins.length) return el("p", { class: "small soft" }, "No op has a time in created_at.");
    const head = el("tr", {}, el("th", { scope: "col" }, "From"), data.domains.names.map((name) => el("th", { scope: "col", class: "number" }, named(name))));
    const rows = bins.map((parts, bin) => el("tr", {}, el("th", { scope: "row" }, plainButton(this.time(bin), () => this.showBin(bin))), parts.map((count) => el("td", { class: "number" }, grouped(count)))));
    return el("details", {}, el("summary", {}, "As a table"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Ops over wall time" }, el("table", {}, el("thead", {}, head), el("tbody", {}, rows))));
  }
}
