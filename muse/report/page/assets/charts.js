// The charts besides the diagram. Each holds its numbers as a table too.

const FIRST_ROWS = 10;

function swatch(domain) {
  return el("i", { class: "swatch", "aria-hidden": "true", style: { background: colourOf(domain), clipPath: `path("M6 6${data.domains.shapes[domain]}")` } });
}

function legend() {
  return el("ul", { class: "legend", "aria-label": "Domains" }, data.domains.names.map((name, domain) => el("li", {}, swatch(domain), named(name))));
}

// A bar's parts, one for each domain, or of one colour; `side` is what grows with the count, and the amount `whole` fills it.
function parted(parts, whole, side, colour = null) {
  return parts.map((count, domain) => (count ? el("i", { style: { [side]: `${(100 * count) / whole}%`, background: colour || colourOf(domain) } }) : null));
}

// Rows of {name, parts, total}, most first. A button shows the remaining rows.
function shareTable(caption, rows) {
  const whole = Math.max(...rows.map(({ total }) => total), 1);
  const row = ({ name, parts, total, mark = null, colour }) => el(
    "tr",
    {},
    el("th", { scope: "row", title: name }, mark, mark && " ", named(name)),
    el("td", {}, el("div", { class: "bar", "aria-hidden": "true" }, parted(parts, whole, "width", colour))),
    numberCell(total),
    el("td", { class: "number" }, percent(total, data.ops)),
  );
  const made = table(caption, [caption, el("span", { class: "unseen" }, "Bar"), "Ops", "Share"], rows.slice(0, FIRST_ROWS).map(row), { class: "shares" });
  if (rows.length <= FIRST_ROWS) return made;
  const more = button(`Show all ${grouped(rows.length)}`, () => {
    made.querySelector("tbody").append(...rows.slice(FIRST_ROWS).map(row));
    more.remove();
  });
  return [made, el("div", { class: "more" }, more)];
}

// Ops over wall time: a stacked column for each bin, and the same data as a table. `showTime` shows the ops from one
// moment to another, both in milliseconds since 1970.
function activity(showTime) {
  const { bins, startMs, widthMs } = data.activity;
  if (!bins.length) return note("No op has a time in created_at.");
  const begins = (bin) => startMs + bin * widthMs;
  const time = (bin) => utc(begins(bin)).replace(".000", "");
  const show = (bin) => () => showTime(begins(bin), begins(bin + 1) - 1);
  const highest = Math.max(...bins.map(sum));
  const step = roundStep(highest, 4);
  const most = Math.ceil(highest / step) * step;
  const rules = multiples(step, 0, most).map((at) => el("div", { class: "rule", style: { bottom: `${(100 * at) / most}%` } }, el("span", {}, grouped(at))));
  const columns = bins.map((parts, bin) => el("div", { class: "zooms", click: show(bin), title: `${time(bin)}: ${pluralize(sum(parts), "op")}; click to see them` }, parted(parts, most, "height")));
  const span = widthMs * bins.length;
  const ticks = timeTicks(startMs, span - 1, innerWidth / 160).map(([at, label]) => el("span", { class: "tick", style: { left: `${(100 * (at - startMs)) / span}%` } }, label));
  const plot = { class: "plot", role: "img", "aria-label": `Ops over wall time, ${grouped(bins.length)} columns; the table below holds the numbers`, style: { marginLeft: `${grouped(most).length + 1}ch` } };
  const rows = bins.map((parts, bin) => el("tr", {}, el("th", { scope: "row" }, plainButton(time(bin), show(bin))), parts.map(numberCell)));
  return [el("div", plot, rules, columns, ticks), el("details", {}, el("summary", {}, "As a table"), table("Ops over wall time", ["From", ...data.domains.names.map(named)], rows))];
}
