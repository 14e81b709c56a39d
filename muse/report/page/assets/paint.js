// Draws the diagram on its canvas. Mouse and keys are handled in diagram.js.

const NUMBERS_HEIGHT = 30;
// Below the numbers, the names of the commits.
const AXIS_HEIGHT = NUMBERS_HEIGHT + (commits.length ? 16 : 0);
const LEAST_LINE_PX = 4;
const LEAST_NAME_PX = 84;
// Half of the widest name, "checkpoint".
const HALF_NAME_PX = 34;
const LEAST_COLUMN_PX = 3;
const MOST_LINKS = 1500;
const DOT_RADIUS = 4;
// With room for it, a mark is large enough for the glyph of its kind, and beside it stands what it is about.
const GLYPH_RADIUS = 7.5;
const GLYPH_ROOM_PX = 18;
const LEAST_LABEL_PX = 40;
const SHAPES = data.domains.shapes.map((shape) => new Path2D(`M0 0${shape}`));

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

// The current colours by the name of their CSS variable, because a canvas can't use CSS variables.
function themeColours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["card", "ink", "soft", "line", "stripe", "link", "mark", "focus"];
  return { ...Object.fromEntries(names.map((name) => [name, value(name)])), domains: data.domains.colours.map(value) };
}

// Set a canvas to its size in device pixels; return its drawing context, which uses CSS pixels.
function fitted(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

// One shape for each domain, so that domains differ not only by colour.
function shapeOf(op, [x, y], radius) {
  const made = new Path2D();
  made.addPath(SHAPES[op.domain], { a: radius / DOT_RADIUS, d: radius / DOT_RADIUS, e: x, f: y });
  return made;
}

function write(pen, text, x, y, colour, align = "left", font = "12px") {
  Object.assign(pen, { fillStyle: colour, textAlign: align, textBaseline: "middle", font: `${font} system-ui, sans-serif` });
  pen.fillText(text, x, y);
}

// A bar with a part for each domain, from `bottom` up.
function stacked(pen, colours, counts, x, width, bottom, height) {
  let y = bottom;
  counts.domains.forEach((count, domain) => {
    const part = (height * count) / counts.total;
    pen.fillStyle = colours.domains[domain];
    pen.fillRect(x, y - part, width, part);
    y -= part;
  });
}

class Painter {
  constructor(pen) { this.pen = pen; }

  // Draw everything; return what is in view, for the line below the diagram.
  paint(layout, colours, hovered) {
    const { pen } = this;
    const { view } = layout;
    Object.assign(this, { layout, colours, view, rows: layout.rows() });
    pen.fillStyle = colours.card;
    pen.fillRect(0, 0, layout.width, layout.height);
    this.stripes();
    const lanes = this.rows.map((row) => view.lanes[row]);
    const all = view.singleOps(lanes);
    // If there are too many, at least those that are picked out are drawn.
    const single = all || (view.isPicking ? view.singleOps(lanes, (op) => view.picks(op)) : null);
    this.size(single);
    const ticks = view.axis.ticks(view.from, view.span, Math.max(layout.plotWidth / 110, 2)).map(([at, label]) => [Math.round(layout.x(at)) + 0.5, label]);
    let linked = { drawn: 0, inView: 0 };
    this.clipped([[layout.left, AXIS_HEIGHT, layout.plotWidth + 12, layout.height - AXIS_HEIGHT]], () => {
      for (const [x] of ticks) this.line(colours.line, 1, [x, AXIS_HEIGHT], [x, layout.height]);
      if (!all || !data.shown.whole) this.columns(single ? 0.3 : 1);
      this.marks();
      if (view.linked) linked = this.links();
      if (this.roomy) this.labels(single);
      for (const op of single || []) this.dot(op);
      for (const op of [hovered, view.selected]) if (op) this.chosen(op, op === view.selected);
    });
    this.names();
    this.head(ticks);
    return { all, single, ...linked };
  }

  // How large the marks are follows from the fullest lane.
  size(single) {
    const { layout } = this;
    const counts = new Map();
    for (const { lane } of single || []) counts.set(lane, (counts.get(lane) || 0) + 1);
    this.roomy = single !== null && layout.laneHeight >= GLYPH_ROOM_PX && layout.plotWidth / Math.max(...counts.values(), 1) >= GLYPH_ROOM_PX;
    this.radius = this.roomy ? GLYPH_RADIUS : Math.min(DOT_RADIUS, Math.max(layout.laneHeight / 2 - 1, 2));
  }

  clipped(boxes, draw) {
    const { pen } = this;
    pen.save();
    pen.beginPath();
    for (const box of boxes) pen.rect(...box);
    pen.clip();
    draw();
    pen.restore();
  }

  line(colour, width, from, to) {
    const { pen } = this;
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  }

  stripes() {
    const { pen, layout, colours } = this;
    pen.fillStyle = colours.stripe;
    for (const row of this.rows) if (row % 2 === 0) pen.fillRect(0, layout.top(row), layout.width, layout.laneHeight);
  }

  // In front of everything, the numbers of the axis, and the names of the lines. That of the checkpoint is among the
  // numbers, instead of those that it would touch.
  head(ticks) {
    const { pen, layout, colours, view } = this;
    const within = (x) => Math.min(Math.max(x, layout.left + HALF_NAME_PX), layout.width - HALF_NAME_PX);
    pen.fillStyle = colours.card;
    pen.fillRect(0, 0, layout.width, AXIS_HEIGHT);
    write(pen, layout.left > 130 ? view.axis.name : view.axis.unit, 12, NUMBERS_HEIGHT / 2, colours.soft);
    const [dashed = null] = [...this.marksInView(1, [checkpoint])].map(([, x]) => within(x));
    if (dashed !== null) write(pen, "checkpoint", dashed, NUMBERS_HEIGHT / 2, colours.mark, "center");
    for (const [x, label] of ticks) {
      const half = pen.measureText(label).width / 2;
      const isFree = dashed === null || Math.abs(x - dashed) > half + HALF_NAME_PX + 6;
      if (isFree && x - half >= layout.left && x + half <= layout.width - 2) write(pen, label, x, NUMBERS_HEIGHT / 2, colours.soft, "center");
    }
    if (commits.length) write(pen, "Commits", 12, NUMBERS_HEIGHT + 6, colours.soft, "left", "11px");
    for (const [commit, x] of this.marksInView(LEAST_NAME_PX, commits)) {
      write(pen, commit.id.slice(0, 7), within(x), NUMBERS_HEIGHT + 6, commit === view.mark ? colours.ink : colours.mark, "center", "11px");
    }
    this.line(colours.line, 1, [0, AXIS_HEIGHT - 0.5], [layout.width, AXIS_HEIGHT - 0.5]);
  }

  columns(alpha) {
    const { pen, layout, view, colours } = this;
    const level = layout.level();
    const high = Math.log1p(level.most);
    const room = layout.laneHeight - (layout.laneHeight > 12 ? 4 : 1);
    pen.globalAlpha = alpha;
    for (const row of this.rows) {
      const bottom = layout.top(row) + layout.laneHeight - (layout.laneHeight > 12 ? 2 : 0.5);
      const columns = level.lanes[view.lanes[row]];
      for (let column = Math.floor(view.from / level.width); column * level.width < view.to; column += 1) {
        const counts = columns.get(column);
        if (!counts) continue;
        // Use whole pixels, so that there is no gap between neighbouring bars.
        const from = Math.round(layout.x(column * level.width));
        const to = Math.round(layout.x((column + 1) * level.width));
        const width = Math.max(to - from - (to - from > 8 ? 1 : 0), 1);
        stacked(pen, colours, counts, from, width, bottom, room * Math.min(Math.max(Math.log1p(counts.total) / high, 0.15), 1));
      }
    }
    pen.globalAlpha = 1;
  }

  links() {
    const { pen, layout, view, colours } = this;
    const rowsOf = ({ from, to }) => [view.rowOf.get(from.lane), view.rowOf.get(to.lane)];
    const inView = links.filter((link) => {
      const [start, end, rows] = [view.at(link.from), view.at(link.to), rowsOf(link)];
      const isInRange = start !== null && end !== null && end >= view.from && start <= view.to;
      // Of a lane that is not shown the row is not defined, and no comparison is true.
      return isInRange && Math.max(...rows) >= this.rows[0] && Math.min(...rows) <= this.rows.at(-1);
    });
    const drawn = inView.slice(0, MOST_LINKS);
    pen.globalAlpha = drawn.length > 500 ? 0.16 : drawn.length > 120 ? 0.3 : 0.55;
    for (const link of drawn) {
      const rows = rowsOf(link);
      const draw = () => this.curve(link.from, link.to, colours.link, 1);
      // Between lanes that are no neighbours, only the ends: lanes that have no part in it are not drawn over.
      if (Math.abs(rows[0] - rows[1]) < 2) draw();
      else this.clipped(rows.map((row) => [layout.left, layout.top(row), layout.width, layout.laneHeight]), draw);
    }
    pen.globalAlpha = 1;
    return { drawn: drawn.length, inView: inView.length };
  }

  curve(from, to, colour, width) {
    const [start, end] = [this.layout.place(from), this.layout.place(to)];
    if (!start || !end) return;
    const { pen } = this;
    const bend = Math.max((end[0] - start[0]) / 2, 6);
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.beginPath();
    pen.moveTo(...start);
    pen.bezierCurveTo(start[0] + bend, start[1], end[0] - bend, end[1], ...end);
    pen.stroke();
  }

  // Beside each mark, as far as the next one in its lane leaves room: the address, then what was done there.
  labels(single) {
    const { pen, layout, colours, view } = this;
    single.forEach((op, at) => {
      const [x, y] = layout.place(op);
      const next = single[at + 1];
      const from = x + GLYPH_RADIUS + 4;
      const room = (next && next.lane === op.lane ? layout.x(view.at(next)) - GLYPH_RADIUS : layout.width) - from;
      if (room < LEAST_LABEL_PX || !(op.address + op.what)) return;
      Object.assign(pen, { globalAlpha: view.picks(op) ? 1 : 0.3, strokeStyle: colours.card, lineWidth: 3, textAlign: "left", textBaseline: "middle", font: "11px system-ui, sans-serif" });
      const both = `${op.address} ${op.what}`.trim();
      const text = pen.measureText(both).width < room - 4 ? both : this.shortened(op.address || op.what, room - 4);
      pen.strokeText(text, from, y);
      write(pen, text, from, y, colours.ink, "left", "11px");
    });
    pen.globalAlpha = 1;
  }

  dot(op, radius = this.radius) {
    const { pen, colours, view } = this;
    const place = this.layout.place(op);
    if (!place) return;
    const [paper, ink] = op.hollow ? [colours.card, colours.domains[op.domain]] : [colours.domains[op.domain], colours.card];
    const shape = shapeOf(op, place, radius);
    if (view.found && view.picks(op)) {
      Object.assign(pen, { globalAlpha: 0.35, fillStyle: colours.focus });
      pen.fill(shapeOf(op, place, radius + 4));
    }
    Object.assign(pen, { globalAlpha: view.picks(op) ? 1 : 0.2, fillStyle: paper, strokeStyle: ink, lineWidth: op.hollow ? 1.8 : 0.8 });
    pen.fill(shape);
    pen.stroke(shape);
    if (radius >= GLYPH_RADIUS && op.kind) write(pen, glyphOf(op.kind), place[0], place[1] + 0.5, ink, "center", "bold 11px");
    pen.globalAlpha = 1;
  }

  // The selected op, with links to its parents and children.
  chosen(op, selected) {
    const { pen, colours } = this;
    const place = this.layout.place(op);
    if (!place) return;
    const parents = op.parents.filter((parent) => parent.children);
    for (const parent of parents) this.curve(parent, op, colours.focus, 2);
    for (const child of op.children) this.curve(op, child, colours.focus, 1.2);
    for (const near of [...parents, ...op.children]) this.dot(near);
    const radius = Math.max(this.radius, 6);
    this.dot(op, radius);
    Object.assign(pen, { strokeStyle: colours.ink, lineWidth: selected ? 2.5 : 1.5 });
    pen.beginPath();
    pen.arc(...place, radius + (selected ? 4 : 3), 0, 2 * Math.PI);
    pen.stroke();
  }

  // Of the checkpoint and the commits, those whose lines or names there is room for, with their x: first the one picked
  // out, then as they are listed.
  *marksInView(room, listed) {
    const { layout, view } = this;
    // By place, of which each is as wide as the room: what is too near can only be in the same one or a neighbour.
    const taken = new Map();
    for (const mark of listed.includes(view.mark) ? [view.mark, ...listed] : listed) {
      const x = mark && layout.lineX(mark);
      if (x === null || x < layout.left || x > layout.width) continue;
      const place = Math.floor(x / room);
      if ([place - 1, place, place + 1].some((near) => Math.abs(taken.get(near) - x) < room)) continue;
      taken.set(place, x);
      yield [mark, x];
    }
  }

  marks() {
    const { pen, layout, colours, view } = this;
    const drawn = [...this.marksInView(LEAST_LINE_PX, [checkpoint, ...commits])];
    for (const [mark, x] of drawn) {
      const [alpha, width, dash] = mark === checkpoint ? [1, 1.5, [5, 4]] : [drawn.length > 60 ? 0.2 : 0.5, 1, []];
      pen.globalAlpha = mark === view.mark ? 1 : alpha;
      pen.setLineDash(dash);
      this.line(mark === view.mark ? colours.ink : colours.mark, mark === view.mark ? 3 : width, [x, AXIS_HEIGHT], [x, layout.height]);
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  names() {
    const { pen, layout, colours, view } = this;
    const font = layout.laneHeight >= 18 ? "13px" : "11px";
    const every = Math.max(Math.ceil(12 / layout.laneHeight), 1);
    for (const row of this.rows) {
      if (row % every) continue;
      const lane = view.lanes[row];
      const middle = layout.top(row) + (layout.laneHeight * every) / 2;
      const count = layout.left > 130 ? grouped(laneOps[lane]) : "";
      write(pen, count, layout.left - 10, middle, colours.soft, "right", font);
      const room = layout.left - 24 - (count ? pen.measureText(count).width + 8 : 0);
      write(pen, this.shortened(data.lanes.names[lane], room), 12, middle, colours.ink, "left", font);
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
