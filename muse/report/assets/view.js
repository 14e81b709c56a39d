// The part of the diagram in view: a range of timestamps, and the lanes that match the filter.

const FEWEST_TIMESTAMPS = 6;
// With more ops than this in view they would hide each other, so counts are shown instead.
const MOST_SINGLE_OPS = 1200;

const LANE_ORDERS = {
  "most active": (one, other) => laneOps[other] - laneOps[one] || one - other,
  "first to start": (one, other) => data.lanes.spans[one][0] - data.lanes.spans[other][0] || one - other,
  "by name": (one, other) => (data.lanes.names[one] < data.lanes.names[other] ? -1 : 1),
};

class View {
  constructor() {
    const [lowest, highest] = data.lamport;
    const margin = Math.max((highest - lowest) * 0.01, 1);
    this.lowest = lowest - margin;
    this.highest = highest + margin;
    this.allLanes = data.lanes.names.map((_, lane) => lane);
    this.wanted = "";
    this.order = "most active";
    this.linked = true;
    this.selected = null;
    this.commit = null;
    this.fromTop = 0;
    this.reset();
    this.arrange();
  }

  reset() {
    this.from = this.lowest;
    this.to = this.highest;
  }

  get span() { return this.to - this.from; }

  // Zoom by a factor. The timestamp at `share` of the width keeps its position.
  zoom(factor, share = 0.5) {
    const fixed = this.from + share * this.span;
    const span = Math.min(Math.max(this.span / factor, FEWEST_TIMESTAMPS), this.highest - this.lowest);
    this.show(fixed - share * span, span);
  }

  // Move by a fraction of the width; a positive one moves later in time.
  pan(share) {
    this.show(this.from + share * this.span, this.span);
  }

  show(from, span) {
    this.from = Math.min(Math.max(from, this.lowest), this.highest - span);
    this.to = this.from + span;
  }

  // Bring a timestamp into view. If it is in view already, nothing changes.
  reveal(lamport) {
    if (lamport < this.from || lamport > this.to) this.show(lamport - this.span / 2, this.span);
  }

  arrange() {
    const wanted = this.wanted.toLowerCase();
    const fits = (lane) => data.lanes.names[lane].toLowerCase().includes(wanted);
    // The lane that the least active actors share stays last.
    const rank = (lane) => (data.lanes.shared && lane === data.lanes.names.length - 1 ? 1 : 0);
    const order = LANE_ORDERS[this.order];
    this.lanes = this.allLanes.filter(fits).sort((one, other) => rank(one) - rank(other) || order(one, other));
    this.rowOf = new Map(this.lanes.map((lane, row) => [lane, row]));
  }

  // The ops to draw individually in this range and these lanes, or null if there are too many.
  singleOps(lanes = this.lanes) {
    const found = [];
    for (const lane of lanes) {
      const list = opsByLane[lane];
      for (let at = positionAt(lane, this.from); at < list.length && list[at].lamport <= this.to; at += 1) {
        found.push(list[at]);
        if (found.length > MOST_SINGLE_OPS) return null;
      }
    }
    return found;
  }
}
