// What is shown stands in the fragment of the page's URL, so that a link leads others to the same place.

const AT_FIRST = { axis: "lamport", from: "", to: "", find: "", actor: "", lanes: "most active", links: "", only: "", op: "" };

// The state of a view, each part as a text.
function stateOf(view) {
  const [from, to] = view.isWhole ? ["", ""] : [view.axis.text(view.from), view.axis.text(view.to)];
  const [only, op] = [view.mark, view.selected].map((one) => (one ? one.id : ""));
  return { axis: view.axis === axes.wall ? "wall" : "lamport", from, to, find: view.sought, actor: view.wanted, lanes: view.order, links: view.linked ? "" : "no", only, op };
}

// Write the state, once it has been the same for a moment: browsers refuse to do that often. The table follows then too.
let noted = 0;
function noteState(view, table) {
  clearTimeout(noted);
  noted = setTimeout(() => {
    const state = new URLSearchParams(Object.entries(stateOf(view)).filter(([name, text]) => text !== AT_FIRST[name]));
    const text = String(state);
    if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    state.delete("op");
    if (table.shown !== String(state)) { table.shown = String(state); table.show(0); }
  }, 250);
}

// Show what the fragment says. It comes from others: what names nothing in this page is passed over.
function showState(diagram) {
  const state = { ...AT_FIRST, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  const { view } = diagram;
  view.axis = state.axis === "wall" && data.activity.bins.length ? axes.wall : axes.lamport;
  view.reset();
  const ends = [state.from, state.to].map((text) => view.axis.read(text));
  if (ends.every(Number.isFinite)) view.showRange(...ends);
  view.search(state.find);
  view.wanted = state.actor;
  view.order = Object.hasOwn(LANE_ORDERS, state.lanes) ? state.lanes : AT_FIRST.lanes;
  view.linked = state.links !== "no";
  view.arrange();
  view.mark = diagram.marks.find(({ id }) => id === state.only) || null;
  diagram.onMark();
  view.selected = ops.find(({ id }) => id === state.op) || null;
  diagram.onSelect(view.selected);
  diagram.change(() => {});
  if (view.selected) diagram.scrollTo(view.selected);
}
