// The controls of the diagram, and the help for its keys.

function keysHelp() {
  const keys = [
    ["← →", "move in time; or drag, or Shift with the wheel"], ["↑ ↓", "scroll the lanes; or drag, or the wheel"],
    ["+ −", "zoom; or Ctrl with the wheel, or a double click"], ["Home", "all of it again"],
    ["N P", "select the next or previous op, of those found if you search; or click or tap one"], ["Esc", "select none"],
    ["Click", "on a bar zooms into it; a range dragged on the strip is shown"],
    ["Touch", "one finger moves, two zoom"],
  ];
  const rows = keys.map(([names, what]) => [el("span", {}, names.split(" ").map((name) => el("kbd", {}, name))), el("span", {}, what)]);
  return el("details", {}, el("summary", {}, "Keys, mouse and touch"), el("div", { class: "keys", id: "keys" }, rows));
}

// What changes the view; `show` writes into the controls what the view is.
function controls(diagram) {
  const { view } = diagram;
  const titled = (label, title, act) => button(label, act, { title, "aria-label": title });
  const group = (label, ...buttons) => el("div", { class: "group", role: "group", "aria-label": label }, buttons);
  // What `act` does with the value of a field changes the view.
  const field = (tag, on, attributes, act, ...options) => el(tag, { autocomplete: "off", ...attributes, [on]: ({ target }) => diagram.change(() => act(target)) }, options);
  const end = (at) => field("input", "change", { type: "text", id: ["from", "to"][at], size: 22 }, ({ value }) => {
    const ends = [view.from, view.to];
    ends[at] = view.axis.read(value);
    if (!ends.includes(NaN)) view.showRange(...ends);
  });
  // By the names of the parts of the state.
  const fields = {
    axis: field("select", "change", { id: "axis" }, ({ value }) => view.useAxis(axes[value]), el("option", { value: "lamport" }, "Lamport time"), el("option", { value: "wall", disabled: !data.activity.bins.length }, "wall time (UTC)")),
    from: end(0),
    to: end(1),
    find: field("input", "input", { type: "search", id: "search", placeholder: "address or summary", title: "A part of an address or summary; in quotes, a whole address" }, ({ value }) => view.search(value)),
    actor: field("input", "input", { type: "search", id: "filter", placeholder: "part of a name" }, ({ value }) => { view.wanted = value; view.arrange(); diagram.lanes.scrollTop = 0; }),
    lanes: field("select", "change", { id: "order" }, ({ value }) => { view.order = value; view.arrange(); }, Object.keys(LANE_ORDERS).map((name) => el("option", {}, name))),
  };
  const height = field("input", "input", { type: "range", id: "lane-height", min: 4, max: 60, value: diagram.laneHeight }, ({ value }) => { diagram.laneHeight = Number(value); });
  const linked = field("input", "input", { type: "checkbox", id: "links" }, ({ checked }) => { view.linked = checked; });
  const found = el("output", { id: "found", for: "search", class: "small soft" });
  fields.find.addEventListener("keydown", (event) => { if (event.key === "Enter") diagram.step(event.shiftKey ? -1 : 1); });
  const element = el(
    "div",
    { class: "controls" },
    group(
      "Zoom",
      titled("−", "Zoom out", () => diagram.change(() => diagram.zoomOnSelected(1 / 1.5))),
      titled("+", "Zoom in", () => diagram.change(() => diagram.zoomOnSelected(1.5))),
      titled("All", "Show all of it", () => diagram.change(() => view.reset())),
    ),
    el("label", {}, "Axis", fields.axis),
    el("label", {}, "From", fields.from),
    el("label", {}, "to", fields.to),
    el("label", {}, "Search", fields.find),
    group("Ops found", titled("‹", "Previous op", () => diagram.step(-1)), titled("›", "Next op", () => diagram.step(1))),
    found,
    el("label", {}, "Actor", fields.actor),
    el("label", {}, "Lanes", fields.lanes),
    el("label", {}, "Lane height", height),
    el("label", {}, linked, "Links between lanes"),
  );
  const show = () => {
    const [from, to] = view.axis.range(view.from, view.to);
    const state = { ...stateOf(view), from, to };
    // A field in use is left alone.
    for (const [name, made] of Object.entries(fields)) if (document.activeElement !== made && made.value !== state[name]) made.value = state[name];
    linked.checked = view.linked;
    const list = view.found ? view.picked() : [];
    const now = list.indexOf(view.selected) + 1;
    const count = pluralize(list.length, "op");
    const text = !view.found ? "" : `${now ? `${grouped(now)} of ${count}` : `${count} found`}${data.shown.whole ? "" : " among those shown"}`;
    if (found.textContent !== text) found.textContent = text;
  };
  return { element, show };
}
