// Creates elements. Text always becomes a text node, so that text from a log is never parsed as markup.

// An attribute that is a function is called on the event of its name.
function el(tag, { style = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  Object.assign(made.style, style);
  made.append(...children.flat(Infinity).filter((child) => child !== null));
  return made;
}

// Text from a log, isolated so that its writing direction does not affect the text around it.
const named = (text) => el("bdi", {}, text);
const button = (label, click, more = {}) => el("button", { type: "button", click, ...more }, label);
const plainButton = (label, click) => button(label, click, { class: "plain" });
const note = (...content) => el("p", { class: "small soft" }, content);
const pair = (term, ...values) => el("div", {}, el("dt", {}, term), el("dd", {}, values));
const textCell = (...content) => el("td", { class: "text" }, content);
const numberCell = (count) => el("td", { class: "number" }, count === null ? "–" : grouped(count));

// A table in a box of its own, which scrolls. The head of a column of numbers is aligned as they are.
function table(label, columns, rows, attributes = {}, caption = null) {
  const head = columns.map((name, at) => el("th", { scope: "col", class: rows.length && rows[0].children[at].classList.contains("number") ? "number" : null }, name));
  const made = el("table", attributes, caption && el("caption", {}, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, made);
}

const grouped = (number) => Math.round(number).toLocaleString("en-US");

function pluralize(number, thing, things = thing + "s") {
  return `${grouped(number)} ${number === 1 ? thing : things}`;
}

// The first of some things, and how many more there are.
function firstOf(all, shown, thing) {
  const more = all - shown.length;
  return [shown.map((one, at) => [at ? ", " : "", one]), !more ? "" : shown.length ? `, ${grouped(more)} more` : pluralize(more, thing)];
}

function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${share.toFixed(1)} %`;
}

function duration(seconds) {
  const steps = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const at = steps.findIndex(([size]) => seconds >= size);
  if (at < 0) return seconds > 0 ? `${Math.round(seconds * 1000)} ms` : "0 s";
  const [size, unit] = steps[at];
  const whole = Math.floor(seconds / size);
  const next = steps[at + 1];
  const rest = next && whole < 10 ? Math.floor((seconds % size) / next[0]) : 0;
  return pluralize(whole, unit) + (rest ? ` ${pluralize(rest, next[1])}` : "");
}

function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (number >= 1000 && at < units.length - 1) { number /= 1000; at += 1; }
  return `${at ? number.toFixed(1) : number} ${units[at]}`;
}

// A round step for about `wanted` ticks over `span`: 1, 2 or 5 times a power of ten, and at least 1.
function roundStep(span, wanted) {
  const rough = Math.max(span / wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
}
