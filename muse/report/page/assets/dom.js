// Creates elements; an attribute that is a function listens for the event of its name. Text always becomes a text node, so that text from a log is never parsed as markup.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svgEl(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG_NAMESPACE, tag), attributes, children);
}

// Text from a log, isolated so that its writing direction does not affect the text around it.
const named = (text) => el("bdi", {}, text);

const button = (label, click, more = {}) => el("button", { type: "button", click, ...more }, label);
const plainButton = (label, click, more = {}) => button(label, click, { class: "plain", ...more });
const note = (...content) => el("p", { class: "small soft" }, ...content);

const numberHead = (name) => el("th", { scope: "col", class: "number" }, name);
const numberCell = (number) => el("td", { class: "number" }, number === null ? "–" : grouped(number));
const textCell = (...content) => el("td", { class: "text" }, ...content);

// A table that scrolls by itself, by keys too. The heads of its columns are texts or elements.
function table(name, columns, rows, { id = null, caption = null } = {}) {
  const head = columns.map((column) => (typeof column === "string" ? el("th", { scope: "col" }, column) : column));
  const above = caption === null ? null : el("caption", {}, caption);
  const made = el("table", { id }, above, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, made);
}

const grouped = (number) => Math.round(number).toLocaleString("en-US");

function pluralize(number, thing, things = thing + "s") {
  return `${grouped(number)} ${number === 1 ? thing : things}`;
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

// The current colours by the name of their CSS variable, because a canvas can't use CSS variables.
function themeColours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  const colours = { domains: data.domains.colours.map(value) };
  for (const name of ["card", "ink", "soft", "line", "stripe", "link", "mark", "focus"]) colours[name] = value(name);
  return colours;
}
