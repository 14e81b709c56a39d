// The charts besides the diagram. Shares are shown as a table with a bar in each row.

const CHART_HEIGHT = 190;
const FIRST_ROWS = 10;

const colourOf = (domain) => `var(--${data.domains.colours[domain]})`;

function swatch(domain) {
  const corners = data.domains.shapes[domain];
  const shape = corners ? svgEl("polygon", { points: corners.join(" ") }) : svgEl("circle", { r: 1 });
  return svgEl("svg", { width: 12, height: 12, viewBox: "-1.5 -1.5 3 3", fill: colourOf(domain), "aria-hidden": "true" }, shape);
}

function legend() {
  return el("ul", { class: "legend", "aria-label": "Domains" }, data.domains.names.map((name, domain) => el("li", {}, swatch(domain), named(name))));
}

// A bar with a part for each domain, or of one colour; the amount `whole` fills the width.
function bar(parts, whole, colour) {
  const made = el("div", { class: "bar", "aria-hidden": "true" });
  parts.forEach((count, domain) => {
    if (!count) return;
    const part = el("i");
    part.style.width = `${(100 * count) / whole}%`;
    part.style.background = colour || colourOf(domain);
    made.append(part);
  });
  return made;
}

// Rows of {name, parts, total}, and of what colour if it is one, most first. A button shows the remaining rows.
function shareTable(caption, rows) {
  const whole = rows.reduce((most, { total }) => Math.max(most, total), 1);
  const row = ({ name, parts, total, colour, mark = null }) => el(
    "tr",
    {},
    el("th", { scope: "row", class: "name", title: name }, mark, mark ? " " : null, named(name)),
    el("td", {}, bar(parts, whole, colour)),
    el("td", { class: "number count" }, grouped(total)),
    el("td", { class: "number share" }, percent(total, data.ops)),
  );
  const body = el("tbody", {}, rows.slice(0, FIRST_ROWS).map(row));
  const head = el("tr", {}, el("th", { scope: "col", class: "name" }, caption), el("th", { scope: "col" }, el("span", { class: "unseen" }, "Bar")), el("th", { scope: "col", class: "number count" }, "Ops"), el("th", { scope: "col", class: "number share" }, "Share"));
  const made = el("div", {}, el("div", { class: rows.length > FIRST_ROWS ? "scroll" : "" }, el("table", { class: "shares" }, el("thead", {}, head), body)));
  if (rows.length > FIRST_ROWS) {
    const more = el("div", { class: "more" }, button(`Show all ${grouped(rows.length)}`, () => {
      body.append(...rows.slice(FIRST_ROWS).map(row));
      more.remove();
    }));
    made.append(more);
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
    const about = svgEl("title", {}, `${this.time(bin)}: ${pluralize(total, "op")}; click to see them`);
    const wholeHeight = svgEl("rect", { x, y: y(0) - 160, width: each, height: 160, fill: "transparent" });
    const made = svgEl("g", { class: "zooms", click: () => this.showBin(bin) }, about, wholeHeight);
    let below = 0;
    parts.forEach((count, domain) => {
      if (!count) return;
      const [low, high] = [y(below), y(below + count)];
      made.append(svgEl("rect", { x: x + 0.5, y: high, width: Math.max(each - 1, 1), height: Math.max(low - high, 0.5), fill: colourOf(domain) }));
      below += count;
    });
    return made;
  }

  asTable() {
    const { bins } = data.activity;
    if (!bins.length) return note("No op has a time in created_at.");
    const from = (bin) => el("th", { scope: "row" }, plainButton(this.time(bin), () => this.showBin(bin)));
    const rows = bins.map((parts, bin) => el("tr", {}, from(bin), parts.map(numberCell)));
    const columns = ["From", ...data.domains.names.map((name) => numberHead(named(name)))];
    return el("details", {}, el("summary", {}, "As a table"), table("Ops over wall time", columns, rows));
  }
}
