// What is shown stands in the fragment of the page's URL, so that a link leads others to the same place.

// The state of a view as parameters; what is as at first is left out.
function stateOf(view) {
  const state = new URLSearchParams();
  const put = (name, value, isDefault) => { if (!isDefault) state.set(name, value); };
  put("axis", "wall", view.axis === axes.lamport);
  put("from", view.axis.text(view.from), view.isWhole);
  put("to", view.axis.text(view.to), view.isWhole);
  put("find", view.sought, !view.sought);
  put("actor", view.wanted, !view.wanted);
  put("lanes", view.order, view.order === "most active");
  put("links", "no", view.linked);
  put("only", view.mark && view.mark.id, !view.mark);
  put("op", view.selected && view.selected.id, !view.selected);
  return state;
}

// Write the state, once it has been the same for a moment: browsers refuse to do that often. The table follows then too.
let noted = 0;
function noteState(view, table) {
  clearTimeout(noted);
  noted = setTimeout(() => {
    const state = stateOf(view);
    const text = String(state);
    if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    state.delete("op");
    if (table.shown !== String(state)) { table.shown = String(state); table.show(0); }
  }, 250);
}

// Show what the fragment says. It comes from others: what names nothing in this page is passed over.
function showState(diagram) {
  const state = new URLSearchParams(location.hash.slice(1));
  const { view } = diagram;
  view.axis = state.get("axis") === "wall" && data.activity.bins.length ? axes.wall : axes.lamport;
  view.reset();
  const ends = ["from", "to"].map((name) => view.axis.read(state.get(name) || ""));
  if (ends.every(Number.isFinite)) view.showRange(...ends);
  view.search(state.get("find") || "");
  view.wanted = state.get("actor") || "";
  view.order = Object.hasOwn(LANE_ORDERS, state.get("lanes")) ? state.get("lanes") : "most active";
  view.linked = state.get("links") !== "no";
  view.arrange();
  view.mark = diagram.marks.find(({ id }) => id === state.get("only")) || null;
  diagram.onMark();
  view.selected = ops.find(({ id }) => id === state.get("op")) || null;
  diagram.onSelect(view.selected);
  diagram.change(() => {});
  if (view.selected) diagram.scrollTo(view.selected);
}
