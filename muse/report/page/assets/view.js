// The part of the diagram in view: an axis and a range on it, the lanes that match the filter, and the ops picked out.

// With more ops than this in view they would hide each other, so counts are shown instead.
const MOST_SINGLE_OPS = 1200;

const LANE_ORDERS = {
  "most active": (one, other) => laneOps[other] - laneOps[one] || one - other,
  "first to start": (one, other) => data.lanes.spans[one][0] - data.lanes.spans[other][0] || one - other,
  "by name": (one, other) => (data.lanes.names[one] < data.lanes.names[other] ? -1 : 1),
};

class View {
  // Picked out, so that all other ops are pale, are those of the mark, which is a commit or the like, and those found.
  constructor() {
    Object.assign(this, { axis: axes.lamport, wanted: "", order: "most active", linked: true, selected: null });
    Object.assign(this, { mark: null, sought: "", found: null, fromTop: 0 });
    this.reset();
    this.arrange();
  }

  reset() {
    this.from = this.axis.lowest;
    this.to = this.axis.highest;
  }

  get span() { return this.to - this.from; }
  get isWhole() { return this.from === this.axis.lowest && this.to === this.axis.highest; }

  at(item) { return item[this.axis.key]; }

  isInView(item) { return this.at(item) !== null && this.at(item) >= this.from && this.at(item) <= this.to; }

  // Zoom by a factor. The place at `share` of the width stays where it is.
  zoom(factor, share) {
    const fixed = this.from + share * this.span;
    const span = Math.min(Math.max(this.span / factor, this.axis.least), this.axis.highest - this.axis.lowest);
    this.show(fixed - share * span, span);
  }

  // Move by a fraction of the width; a positive one moves later in time.
  pan(share) {
    this.show(this.from + share * this.span, this.span);
  }

  show(from, span) {
    this.from = Math.min(Math.max(from, this.axis.lowest), this.axis.highest - span);
    this.to = this.from + span;
  }

  // Show a range, as much of it as the axis has.
  showRange(from, to) {
    const { ends, lowest, highest } = this.axis;
    const low = Math.min(from, to) <= ends[0] ? lowest : Math.min(from, to, highest);
    const high = Math.max(from, to) >= ends[1] ? highest : Math.max(from, to, lowest);
    const span = Math.max(high - low, this.axis.least);
    this.show(low - (span - (high - low)) / 2, span);
  }

  // Bring an op or commit into view. If it is in view already, nothing changes.
  reveal(item) {
    if (this.at(item) !== null && !this.isInView(item)) this.show(this.at(item) - this.span / 2, this.span);
  }

  // Change the axis; the ops in view stay in view.
  useAxis(axis) {
    const before = this.isWhole ? [] : ops.filter((op) => this.isInView(op));
    this.axis = axis;
    this.reset();
    const places = before.map((op) => this.at(op)).filter((place) => place !== null);
    if (places.length) this.showRange(Math.min(...places), Math.max(...places));
  }

  arrange() {
    const wanted = this.wanted.toLowerCase();
    const fits = (lane) => data.lanes.names[lane].toLowerCase().includes(wanted);
    // The lane that the least active actors share stays last.
    const rank = (lane) => (data.lanes.shared && lane === data.lanes.names.length - 1 ? 1 : 0);
    const order = LANE_ORDERS[this.order];
    this.lanes = [...data.lanes.names.keys()].filter(fits).sort((one, other) => rank(one) - rank(other) || order(one, other));
    this.rowOf = new Map(this.lanes.map((lane, row) => [lane, row]));
  }

  // Find ops by a part of their address or summary, or in quotes, by their whole address.
  search(text) {
    this.sought = text;
    const wanted = text.trim().toLowerCase();
    const [, whole = null] = /^"(.+)"$/.exec(text.trim()) || [];
    const fits = (op) => (whole === null ? `${op.address}\n${op.what}`.toLowerCase().includes(wanted) : op.address === whole);
    this.found = wanted ? new Set(ops.filter(fits)) : null;
  }

  get isPicking() { return this.found !== null || this.mark !== null; }

  picks(op) { return (!this.found || this.found.has(op)) && (!this.mark || this.mark.holds(op)); }

  // All ops picked out in the lanes that match the filter, in the order of the axis, then from top to bottom.
  picked() {
    const { key } = this.axis;
    return this.lanes.flatMap((lane) => this.axis.lanes[lane].filter((op) => this.picks(op))).sort(
      (one, other) => one[key] - other[key] || this.rowOf.get(one.lane) - this.rowOf.get(other.lane) || one.number - other.number,
    );
  }

  // The ops to draw individually in this range and these lanes, or null if there are too many.
  singleOps(lanes, fits = () => true) {
    const found = lanes.flatMap((lane) => this.axis.lanes[lane].filter((op) => this.isInView(op) && fits(op)));
    return found.length > MOST_SINGLE_OPS ? null : found;
  }
}
