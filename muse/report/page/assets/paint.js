// Draws the diagram on its canvas. Mouse and keys are handled in diagram.js.

const NUMBERS_HEIGHT = 30;
// Below the numbers, the names of the commits.
const AXIS_HEIGHT = NUMBERS_HEIGHT + (commits.length ? 16 : 0);
const LEAST_COMMIT_PX = 4;
const LEAST_COLUMN_PX = 3;
const MOST_LINKS = 1500;
const DOT_RADIUS = 4;
// With room for it, a mark is large enough for the glyph of its kind, and beside it stands what it is about.
const GLYPH_RADIUS = 7.5;
const GLYPH_ROOM_PX = 18;
const LEAST_LABEL_PX = 40;

// Positions on the canvas.
class Layout {
  constructor(view, width, height, laneHeight) {
    Object.assign(this, { view, width, height, laneHeight });
    this.left = Math.min(200, Math.round(width * 0.24));
    this.plotWidth = Math.max(width - this.left - 12, 10);
  }

  x(place) { return this.left + ((place - this.view.from) / this.view.span) * this.plotWidth; }
  placeAt(x) { return this.view.from + ((x - this.left) / this.plotWidth) * this.view.span; }
  // Right of an op that is the last one before a commit or the checkpoint; null if that has no place on the axis.
  lineX(mark) { return this.view.at(mark) === null ? null : Math.round(this.x(this.view.at(mark) + (this.view.axis === axes.lamport ? 0.5 : 0))) + 0.5; }
  top(row) { return AXIS_HEIGHT + row * this.laneHeight - this.view.fromTop; }
  row(y) { return Math.floor((y - AXIS_HEIGHT + this.view.fromTop) / this.laneHeight); }
  place(op) {
    const row = this.view.rowOf.get(op.lane);
    return row === undefined || this.view.at(op) === null ? null : [this.x(this.view.at(op)), this.top(row) + this.laneHeight / 2];
  }
  // The columns of counts that are wide enough to be drawn.
  level() { return this.view.axis.density.level((LEAST_COLUMN_PX * this.view.span) / this.plotWidth); }
  rows() {
    const first = Math.max(this.row(AXIS_HEIGHT), 0);
    const last = Math.min(this.row(this.height), this.view.lanes.length - 1);
    return Array.from({ length: Math.max(last - first + 1, 0) }, (_, at) => first + at);
  }
}

// One shape for each domain, so that domains differ not only by colour.
function traceShape(pen, domain, x, y, r) {
  const corners = data.domains.shapes[domain];
  pen.beginPath();
  if (!corners) pen.arc(x, y, r, 0, 2 * Math.PI);
  else corners.forEach(([dx, dy], at) => pen[at ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
  pen.closePath();
}

// A bar with a part for each domain, from `bottom` up.
function stack(pen, colours, counts, x, width, bottom, height) {
  let y = bottom;
  counts.domains.forEach((count, domain) => {
    const part = (height * count) / counts.total;
    pen.fillStyle = colours.domains[domain];
    pen.fillRect(x, y - part, width, part);
    y -= part;
  });
}

function setFont(pen, size, weight = "") {
  pen.font = `${weight} ${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
}

function write(pen, text, x, y, colour, align = "left") {
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.fillText(text, x, y);
}

// Set a canvas to its size in device pixels; return its drawing context, which uses CSS pixels.
function fitted(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

class Painter {
  constructor(pen) { this.pen = pen; }

  // Draw everything; return what is in view, for the line below the diagram.
  paint(layout, colours, hovered) {
    Object.assign(this, { layout, colours, view: layout.view });
    const pen = this.pen;
    pen.fillStyle = colours.card;
    pen.fillRect(0, 0, layout.width, layout.height);
    this.rows = layout.rows();
    this.stripes();
    const lanes = this.rows.map((row) => this.view.lanes[row]);
    const all = this.view.singleOps(lanes);
    // If there are too many, at least those that are picked out are drawn.
    const single = all || (this.view.isPicking ? this.view.singleOps(lanes, (op) => this.view.picks(op)) : null);
    this.size(single);
    const plot = [[layout.left, AXIS_HEIGHT, layout.plotWidth + 12, layout.height - AXIS_HEIGHT]];
    this.clipped(plot, () => {
      this.ticks(false);
      if (!all || !data.shown.whole) this.columns(single ? 0.3 : 1);
      this.commits();
      this.checkpoint();
    });
    const drawn = this.view.linked ? this.clipped(plot, () => this.links()) : { drawn: 0, inView: 0 };
    this.clipped(plot, () => {
      if (this.roomy) this.labels(single);
      for (const op of single || []) this.dot(op);
      for (const op of [hovered, this.view.selected]) if (op) this.chosen(op, op === this.view.selected);
    });
    this.names();
    this.ticks(true);
    this.commitNames();
    return { all, single, ...drawn };
  }

  // How large the marks are follows from the fullest lane.
  size(single) {
    const { layout } = this;
    const counts = new Map();
    for (const { lane } of single || []) counts.set(lane, (counts.get(lane) || 0) + 1);
    this.roomy = single !== null && layout.laneHeight >= GLYPH_ROOM_PX && layout.plotWidth / Math.max(...counts.values(), 1) >= GLYPH_ROOM_PX;
    this.radius = this.roomy ? GLYPH_RADIUS : Math.min(DOT_RADIUS, Math.max(layout.laneHeight / 2 - 1, 2));
  }

  // Draw within rectangles alone.
  clipped(rectangles, draw) {
    const { pen } = this;
    pen.save();
    pen.beginPath();
    for (const rectangle of rectangles) pen.rect(...rectangle);
    pen.clip();
    const result = draw();
    pen.restore();
    return result;
  }

  stripes() {
    const { pen, layout, colours } = this;
    pen.fillStyle = colours.stripe;
    for (const row of this.rows) if (row % 2 === 0) pen.fillRect(0, layout.top(row), layout.width, layout.laneHeight);
  }

  // The grid lines of the axis are drawn behind everything, its numbers in front.
  ticks(numbers) {
    const { pen, layout, colours, view } = this;
    if (numbers) {
      pen.fillStyle = colours.card;
      pen.fillRect(0, 0, layout.width, AXIS_HEIGHT);
      setFont(pen, 12);
      write(pen, layout.left > 130 ? view.axis.name : view.axis.unit, 12, NUMBERS_HEIGHT / 2, colours.soft);
    }
    const taken = numbers ? this.checkpointName() : null;
    for (const [at, label] of view.axis.ticks(view.from, view.span, Math.max(layout.plotWidth / 110, 2))) {
      const x = Math.round(layout.x(at)) + 0.5;
      if (numbers) this.tickLabel(label, x, taken);
      else this.line(colours.line, 1, [x, AXIS_HEIGHT], [x, layout.height]);
    }
    if (numbers) this.line(colours.line, 1, [0, AXIS_HEIGHT - 0.5], [layout.width, AXIS_HEIGHT - 0.5]);
  }

  // A number of the axis, unless it would overlap the name of the checkpoint or leave the canvas.
  tickLabel(label, x, taken) {
    const { pen, layout, colours } = this;
    const half = pen.measureText(label).width / 2;
    if (x - half < layout.left || x + half > layout.width - 2) return;
    if (taken && x + half > taken[0] - 6 && x - half < taken[1] + 6) return;
    write(pen, label, x, NUMBERS_HEIGHT / 2, colours.soft, "center");
  }

  line(colour, width, from, to) {
    const pen = this.pen;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  }

  columns(alpha) {
    const { pen, layout, view, colours } = this;
    const level = layout.level();
    const high = Math.log1p(level.most);
    const room = layout.laneHeight - (layout.laneHeight > 12 ? 4 : 1);
    pen.globalAlpha = alpha;
    for (const row of this.rows) {
      const bottom = layout.top(row) + layout.laneHeight - (layout.laneHeight > 12 ? 2 : 0.5);
      for (const counts of columnsBetween(level.lanes[view.lanes[row]], level.width, view.from, view.to)) {
        // Use whole pixels, so that there is no gap between neighbouring bars.
        const from = Math.round(layout.x(counts.column * level.width));
        const to = Math.round(layout.x((counts.column + 1) * level.width));
        const width = Math.max(to - from - (to - from > 8 ? 1 : 0), 1);
        stack(pen, colours, counts, from, width, bottom, room * Math.min(Math.max(Math.log1p(counts.total) / high, 0.15), 1));
      }
    }
    pen.globalAlpha = 1;
  }

  links() {
    const { pen, layout, view, colours } = this;
    const inView = links.filter(({ from, to }) => {
      if (view.at(from) === null || view.at(to) === null || view.at(to) < view.from || view.at(from) > view.to) return false;
      const ends = [view.rowOf.get(from.lane), view.rowOf.get(to.lane)];
      if (ends.includes(undefined) || !this.rows.length) return false;
      return Math.max(...ends) >= this.rows[0] && Math.min(...ends) <= this.rows[this.rows.length - 1];
    });
    const drawn = inView.slice(0, MOST_LINKS);
    pen.globalAlpha = drawn.length > 500 ? 0.16 : drawn.length > 120 ? 0.3 : 0.55;
    for (const { from, to } of drawn) {
      const curve = () => this.curve(from, to, colours.link, 1);
      const rows = [view.rowOf.get(from.lane), view.rowOf.get(to.lane)];
      // Of a link between lanes that are no neighbours, only the ends: lanes that have no part in it are not drawn over.
      if (Math.abs(rows[0] - rows[1]) < 2) curve();
      else this.clipped(rows.map((row) => [layout.left, layout.top(row), layout.width, layout.laneHeight]), curve);
    }
    pen.globalAlpha = 1;
    return { drawn: drawn.length, inView: inView.length };
  }

  curve(from, to, colour, width) {
    const [start, end] = [this.layout.place(from), this.layout.place(to)];
    if (!start || !end) return;
    const pen = this.pen;
    const bend = Math.max((end[0] - start[0]) / 2, 6);
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.moveTo(...start);
    pen.bezierCurveTo(start[0] + bend, start[1], end[0] - bend, end[1], ...end);
    pen.stroke();
  }

  // Beside each mark, as far as the next one in its lane leaves room: the address, then what was done there.
  labels(single) {
    const { pen, layout, colours, view } = this;
    setFont(pen, 11);
    pen.textAlign = "left";
    pen.lineWidth = 3;
    single.forEach((op, at) => {
      const [x, y] = layout.place(op);
      const next = single[at + 1];
      const end = next && next.lane === op.lane ? layout.x(view.at(next)) - GLYPH_RADIUS : layout.width;
      const from = x + GLYPH_RADIUS + 4;
      if (end - from < LEAST_LABEL_PX || !(op.address + op.what)) return;
      const both = `${op.address} ${op.what}`.trim();
      const text = pen.measureText(both).width < end - from - 4 ? both : this.shortened(op.address || op.what, end - from - 4);
      pen.globalAlpha = view.picks(op) ? 1 : 0.3;
      pen.strokeStyle = colours.card;
      pen.strokeText(text, from, y);
      write(pen, text, from, y, colours.ink);
    });
    pen.globalAlpha = 1;
  }

  dot(op, radius = this.radius) {
    const { pen, colours, view } = this;
    const place = this.layout.place(op);
    if (!place) return;
    const picked = view.picks(op);
    if (view.found && picked) {
      traceShape(pen, op.domain, ...place, radius + 4);
      pen.fillStyle = colours.focus;
      pen.globalAlpha = 0.35;
      pen.fill();
    }
    pen.globalAlpha = picked ? 1 : 0.2;
    traceShape(pen, op.domain, ...place, radius);
    pen.fillStyle = op.hollow ? colours.card : colours.domains[op.domain];
    pen.fill();
    pen.strokeStyle = op.hollow ? colours.domains[op.domain] : colours.card;
    pen.lineWidth = op.hollow ? 1.8 : 0.8;
    pen.stroke();
    if (radius >= GLYPH_RADIUS && op.kind) {
      setFont(pen, 11, "bold");
      write(pen, glyphOf(op.kind), place[0], place[1] + 0.5, op.hollow ? colours.domains[op.domain] : colours.card, "center");
    }
    pen.globalAlpha = 1;
  }

  // The selected op, with links to its parents and children.
  chosen(op, selected) {
    const place = this.layout.place(op);
    if (!place) return;
    const parents = op.parents.filter((parent) => parent.children);
    for (const parent of parents) this.curve(parent, op, this.colours.focus, 2);
    for (const child of op.children) this.curve(op, child, this.colours.focus, 1.2);
    for (const near of [...parents, ...op.children]) this.dot(near);
    this.dot(op, Math.max(this.radius, 6));
    this.pen.strokeStyle = this.colours.ink;
    this.pen.lineWidth = selected ? 2.5 : 1.5;
    this.pen.beginPath();
    this.pen.arc(...place, Math.max(this.radius, 6) + (selected ? 4 : 3), 0, 2 * Math.PI);
    this.pen.stroke();
  }

  // The commits whose lines or names there is room for, with their x: the marked one, then the newest first.
  *commitsInView(room) {
    const { layout, view } = this;
    // By place, of which each is as wide as the room: what is too near can only be in the same one or a neighbour.
    const taken = new Map();
    for (const commit of commits.includes(view.mark) ? [view.mark, ...commits] : commits) {
      const x = layout.lineX(commit);
      if (x === null || x < layout.left || x > layout.width) continue;
      const place = Math.floor(x / room);
      if ([place - 1, place, place + 1].some((near) => Math.abs(taken.get(near) - x) < room)) continue;
      taken.set(place, x);
      yield [commit, x];
    }
  }

  commits() {
    const { pen, layout, colours, view } = this;
    const drawn = [...this.commitsInView(LEAST_COMMIT_PX)];
    for (const [commit, x] of drawn) {
      const marked = commit === view.mark;
      pen.globalAlpha = marked ? 1 : drawn.length > 60 ? 0.2 : 0.5;
      this.line(marked ? colours.ink : colours.mark, marked ? 3 : 1, [x, AXIS_HEIGHT], [x, layout.height]);
    }
    pen.globalAlpha = 1;
  }

  commitNames() {
    const { pen, layout, colours, view } = this;
    if (!commits.length) return;
    setFont(pen, 11);
    write(pen, "Commits", 12, NUMBERS_HEIGHT + 6, colours.soft);
    const half = 28;
    for (const [commit, x] of this.commitsInView(3 * half)) {
      const middle = Math.min(Math.max(x, layout.left + half), layout.width - half);
      write(pen, commit.id.slice(0, 7), middle, NUMBERS_HEIGHT + 6, commit === view.mark ? colours.ink : colours.mark, "center");
    }
  }

  checkpoint() {
    const { pen, layout, colours } = this;
    const x = checkpoint && layout.lineX(checkpoint);
    if (x === null) return;
    pen.setLineDash([5, 4]);
    this.line(colours.mark, 1.5, [x, AXIS_HEIGHT], [x, layout.height]);
    pen.setLineDash([]);
  }

  // Draw the name of the line; return the range in which the name replaces the numbers of the axis.
  checkpointName() {
    const { pen, layout, colours } = this;
    const x = checkpoint && layout.lineX(checkpoint);
    if (x === null || x < layout.left || x > layout.width) return null;
    const label = "checkpoint";
    const half = pen.measureText(label).width / 2;
    const middle = Math.min(Math.max(x, layout.left + half + 4), layout.width - half - 6);
    write(pen, label, middle, NUMBERS_HEIGHT / 2, colours.mark, "center");
    return [middle - half, middle + half];
  }

  names() {
    const { pen, layout, colours, view } = this;
    setFont(pen, layout.laneHeight >= 18 ? 13 : 11);
    const every = Math.max(Math.ceil(12 / layout.laneHeight), 1);
    for (const row of this.rows) {
      if (row % every) continue;
      const lane = view.lanes[row];
      const middle = layout.top(row) + (layout.laneHeight * every) / 2;
      const count = layout.left > 130 ? grouped(laneOps[lane]) : "";
      write(pen, count, layout.left - 10, middle, colours.soft, "right");
      const room = layout.left - 24 - (count ? pen.measureText(count).width + 8 : 0);
      write(pen, this.shortened(data.lanes.names[lane], room), 12, middle, colours.ink);
    }
    this.line(colours.line, 1, [layout.left - 0.5, AXIS_HEIGHT], [layout.left - 0.5, layout.height]);
  }

  // Cut the name in the middle, because similar names often differ at their ends.
  shortened(text, room) {
    const pen = this.pen;
    if (pen.measureText(text).width <= room) return text;
    const letters = [...text];
    for (let kept = Math.min(letters.length - 1, Math.ceil(room / 3)); kept > 2; kept -= 1) {
      const end = Math.floor(kept / 2);
      const cut = `${letters.slice(0, kept - end).join("")}…${letters.slice(-end).join("")}`;
      if (pen.measureText(cut).width <= room) return cut;
    }
    return "…";
  }
}
