// The controls of the diagram, and the help for its keys.

function keysHelp() {
  const keys = [
    ["← →", "move in time; or drag, or Shift with the wheel"], ["↑ ↓", "scroll the lanes; or drag, or the wheel"],
    ["+ −", "zoom; or Ctrl with the wheel, or a double click"], ["Home", "all of it again"],
    ["N P", "select the next or previous op, of those found if you search; or click or tap one"], ["Esc", "select none"],
    ["Click", "on a bar zooms into it; a range dragged on the strip is shown"],
    ["Touch", "one finger moves, two zoom"],
  ];
  const list = el("div", { class: "keys", id: "keys" }, keys.flatMap(([names, what]) => [el("span", {}, names.split(" ").map((name) => el("kbd", {}, name))), el("span", {}, what)]));
  return el("details", {}, el("summary", {}, "Keys, mouse and touch"), list);
}

const pressed = (label, title, act) => button(label, act, { title, "aria-label": title });

// A field of the controls; what `act` does with its value changes the view.
function field(diagram, tag, attributes, act, ...children) {
  const changed = tag === "input" && attributes.type !== "text" ? "input" : "change";
  return el(tag, { ...attributes, [changed]: ({ target }) => diagram.change(() => act(target)) }, ...children);
}

function controls(diagram) {
  const { view } = diagram;
  const range = (at) => field(diagram, "input", { type: "text", id: ["from", "to"][at], size: 22, autocomplete: "off" }, (input) => {
    const ends = [view.from, view.to];
    ends[at] = view.axis.read(input.value);
    if (!ends.includes(NaN)) view.showRange(...ends);
  });
  const made = {
    axis: field(diagram, "select", { id: "axis" }, ({ value }) => view.useAxis(axes[value]), el("option", { value: "lamport" }, "Lamport time"), el("option", { value: "wall", disabled: !data.activity.bins.length }, "wall time (UTC)")),
    from: range(0),
    to: range(1),
    sought: field(diagram, "input", {
      type: "search", id: "search", placeholder: "address or summary", autocomplete: "off",
      title: "A part of an address or summary; in quotes, a whole address",
      keydown: ({ key, shiftKey }) => { if (key === "Enter") diagram.step(shiftKey ? -1 : 1); },
    }, ({ value }) => view.search(value)),
    wanted: field(diagram, "input", { type: "search", id: "filter", placeholder: "part of a name", autocomplete: "off" }, ({ value }) => { view.wanted = value; view.arrange(); diagram.lanes.scrollTop = 0; }),
    order: field(diagram, "select", { id: "order" }, ({ value }) => { view.order = value; view.arrange(); }, Object.keys(LANE_ORDERS).map((name) => el("option", {}, name))),
    height: field(diagram, "input", { type: "range", id: "lane-height", min: 4, max: 60, value: diagram.laneHeight }, ({ value }) => { diagram.laneHeight = Number(value); }),
    linked: field(diagram, "input", { type: "checkbox", id: "links" }, ({ checked }) => { view.linked = checked; }),
    found: el("output", { id: "found", for: "search", class: "small soft" }),
  };
  made.element = el(
    "div",
    { class: "controls" },
    el(
      "div",
      { class: "group", role: "group", "aria-label": "Zoom" },
      pressed("−", "Zoom out", () => diagram.change(() => diagram.zoomOnSelected(1 / 1.5))),
      pressed("+", "Zoom in", () => diagram.change(() => diagram.zoomOnSelected(1.5))),
      pressed("All", "Show all of it", () => diagram.change(() => view.reset())),
    ),
    el("label", {}, "Axis", made.axis),
    el("label", {}, "From", made.from),
    el("label", {}, "to", made.to),
    el("label", {}, "Search", made.sought),
    el("div", { class: "group", role: "group", "aria-label": "Ops found" }, pressed("‹", "Previous op", () => diagram.step(-1)), pressed("›", "Next op", () => diagram.step(1))),
    made.found,
    el("label", {}, "Actor", made.wanted),
    el("label", {}, "Lanes", made.order),
    el("label", {}, "Lane height", made.height),
    el("label", {}, made.linked, "Links between lanes"),
  );
  // Write into the controls what the view is; a field in use is left alone.
  made.show = () => {
    const [from, to] = view.axis.range(view.from, view.to);
    const texts = { axis: view.axis === axes.wall ? "wall" : "lamport", from, to, sought: view.sought, wanted: view.wanted, order: view.order };
    for (const [name, text] of Object.entries(texts)) if (document.activeElement !== made[name] && made[name].value !== text) made[name].value = text;
    made.linked.checked = view.linked;
    const list = view.found ? view.picked() : [];
    const now = list.indexOf(view.selected) + 1;
    const count = pluralize(list.length, "op");
    const text = !view.found ? "" : `${now ? `${grouped(now)} of ${count}` : `${count} found`}${data.shown.whole ? "" : " among those shown"}`;
    if (made.found.textContent !== text) made.found.textContent = text;
  };
  return made;
}
