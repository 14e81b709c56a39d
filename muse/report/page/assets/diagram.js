// The interaction with the diagram: pointer, keys, and the tooltip.

const TALLEST = 560;
const NEAR_PX = 9;
const NEAR_FINGER_PX = 20;

class Diagram {
  constructor(onSelect, onPaint) {
    Object.assign(this, { view: new View(), onSelect, onPaint, hovered: null });
    // The pointers that are down, by id, and where they began to move or zoom the view.
    this.held = new Map();
    this.drag = null;
    // What can be picked out, and who wants to know; set by the section that lists it.
    this.marks = [];
    this.onMark = () => {};
    this.zoomedIntoBar = -Infinity;
    this.laneHeight = Math.min(Math.max(Math.floor((TALLEST - AXIS_HEIGHT) / Math.max(data.lanes.names.length, 1)), 14), 40);
    this.canvas = el("canvas", {
      "aria-hidden": "true",
      pointerdown: (event) => this.grab(event),
      pointerup: (event) => this.release(event),
      lostpointercapture: (event) => this.release(event),
    });
    this.spacer = el("div");
    this.lanes = el(
      "div",
      {
        class: "lanes", tabindex: "0", role: "application", id: "diagram", "aria-describedby": "keys status",
        "aria-label": "Space-time diagram: a lane for each actor, ops by time",
        scroll: () => this.change(() => {}),
        keydown: (event) => this.key(event),
        wheel: (event) => this.wheel(event),
        pointermove: (event) => { this.dragged(event); this.point(event); },
        pointerleave: () => this.hover(null),
        // The browser scrolls the lanes with one finger, but two are for zooming.
        touchmove: (event) => { if (event.touches.length > 1 && event.cancelable) event.preventDefault(); },
        dblclick: (event) => { if (event.timeStamp - this.zoomedIntoBar > 500) this.change(() => this.view.zoom(2, this.shareAt(event))); },
      },
      this.canvas,
      this.spacer,
    );
    this.strip = new Strip(this.view, (how) => this.change(how));
    this.tip = el("div", { class: "tip", role: "status", hidden: true });
    this.status = el("p", { class: "status small soft", id: "status", role: "status" });
    this.element = el("div", { class: "diagram" }, this.lanes, this.strip.element, this.tip, this.status);
    this.painter = new Painter(this.canvas.getContext("2d"));
    new ResizeObserver(() => this.paint()).observe(this.element);
  }

  // Change the view and redraw. What the pointer was at is elsewhere then, so that nothing more is said of it.
  change(how) {
    how();
    this.hovered = null;
    this.tip.hidden = true;
    this.paint();
  }

  paint() {
    if (!this.lanes.clientWidth) return;
    const content = this.view.lanes.length * this.laneHeight;
    const height = Math.min(AXIS_HEIGHT + Math.max(content, 40), TALLEST);
    this.lanes.style.height = `${height + 2}px`;
    this.spacer.style.height = `${Math.max(AXIS_HEIGHT + content - height, 0)}px`;
    this.view.fromTop = this.lanes.scrollTop;
    this.layout = new Layout(this.view, this.lanes.clientWidth, height, this.laneHeight);
    this.colours = themeColours();
    fitted(this.canvas, this.layout.width, height);
    this.seen = this.painter.paint(this.layout, this.colours, this.hovered);
    this.strip.paint(this.layout, this.colours);
    this.tell(this.seen);
    this.onPaint();
  }

  // Describe in words what is in view.
  tell({ all, single, drawn, inView }) {
    const view = this.view;
    const parts = [`${view.axis.name} ${view.axis.range(view.from, view.to).join(" to ")}`];
    if (view.wanted) parts.push(`${grouped(view.lanes.length)} of ${pluralize(data.lanes.names.length, "lane")}`);
    const { width } = this.layout.level();
    const column = view.axis === axes.lamport ? pluralize(width, "timestamp") : duration(width / 1000);
    if (!all) parts.push(`density: each bar counts the ops of ${column}; click one to zoom into it`);
    else if (data.shown.whole) parts.push(`${pluralize(all.length, "op")}, every one shown`);
    else parts.push(`${pluralize(all.length, "op")} of the sample; each pale bar counts all ops of ${column}`);
    const picked = single && view.isPicking ? pluralize(single.filter((op) => view.picks(op)).length, "op") : "";
    if (picked) parts.push([picked, view.found ? "found" : "", view.mark === pendingOps ? "not committed" : view.mark ? `in ${view.mark.label}` : ""].filter(Boolean).join(" "));
    const undated = view.axis === axes.lamport ? 0 : data.activity.undated;
    if (undated) parts.push(`${pluralize(undated, "op")} without a valid time not shown`);
    if (drawn) parts.push(drawn < inView ? `${grouped(drawn)} of ${pluralize(inView, "link")}` : pluralize(inView, "link"));
    const text = parts.join(" · ");
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  shareAt(event) {
    return Math.min(Math.max((this.at(event)[0] - this.layout.left) / this.layout.plotWidth, 0), 1);
  }

  // One pointer moves the view, two zoom it; one that has not moved selects.
  grab(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.held.set(event.pointerId, event);
    this.hold(this.held.size > 1);
  }

  // What the pointers do from now on changes the view as it is now.
  hold(moved) {
    this.drag = this.held.size ? { ...this.grip(), from: this.view.from, span: this.view.span, top: this.lanes.scrollTop, moved } : null;
  }

  // The middle of the pointers, and how far they are apart.
  grip() {
    const [one, other = one] = this.held.values();
    const apart = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    return { x: (one.clientX + other.clientX) / 2, y: (one.clientY + other.clientY) / 2, apart };
  }

  dragged(event) {
    if (!this.held.has(event.pointerId)) return;
    this.held.set(event.pointerId, event);
    const { drag } = this;
    const { x, y, apart } = this.grip();
    if (Math.hypot(x - drag.x, y - drag.y) > 3) drag.moved = true;
    if (!drag.moved) return;
    if (event.pointerType !== "touch") this.lanes.scrollTop = drag.top - (y - drag.y);
    this.change(() => {
      this.view.show(drag.from, drag.span);
      if (drag.apart && apart) this.view.zoom(apart / drag.apart, this.shareAt({ clientX: drag.x, clientY: drag.y }));
      this.view.pan((drag.x - x) / this.layout.plotWidth);
    });
  }

  release(event) {
    if (!this.held.delete(event.pointerId)) return;
    const { moved } = this.drag;
    this.hold(moved);
    if (this.drag) return;
    if (moved || event.type !== "pointerup") return;
    this.point(event);
    const counts = this.hovered ? null : this.columnAt(...this.at(event));
    if (!counts) { this.select(this.hovered); return; }
    if (event.timeStamp - this.zoomedIntoBar < 500) return;
    const { width } = this.layout.level();
    this.zoomedIntoBar = event.timeStamp;
    this.change(() => this.view.showRange(counts.column * width - 0.5, (counts.column + 1) * width - 0.5));
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.change(() => this.view.zoom(Math.exp(-event.deltaY / 300), this.shareAt(event)));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.change(() => this.view.pan((event.deltaX || event.deltaY) / this.layout.plotWidth));
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowLeft: () => this.view.pan(-0.15),
      ArrowRight: () => this.view.pan(0.15),
      ArrowUp: () => { this.lanes.scrollTop -= 3 * this.laneHeight; },
      ArrowDown: () => { this.lanes.scrollTop += 3 * this.laneHeight; },
      "+": () => this.zoomOnSelected(1.5),
      "=": () => this.zoomOnSelected(1.5),
      "-": () => this.zoomOnSelected(1 / 1.5),
      Home: () => this.view.reset(),
      n: () => this.step(1),
      p: () => this.step(-1),
      Escape: () => this.select(null),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    this.change(act);
  }

  zoomOnSelected(factor) {
    const at = this.view.selected || this.view.mark;
    const share = at && this.view.at(at) !== null ? (this.view.at(at) - this.view.from) / this.view.span : 0.5;
    this.view.zoom(factor, share >= 0 && share <= 1 ? share : 0.5);
  }

  // Select the next or previous of the ops picked out. With none selected, that is the first or last in view, if any is.
  step(direction) {
    const list = this.view.picked();
    const now = list.indexOf(this.view.selected);
    const inView = (op) => this.view.isInView(op);
    const start = direction > 0 ? list.findIndex(inView) : list.findLastIndex(inView);
    const next = now < 0 ? list[start] || list.at(direction > 0 ? 0 : -1) : list[now + direction];
    if (next) this.select(next);
  }

  select(op) {
    this.view.selected = op;
    if (op) {
      this.view.reveal(op);
      this.scrollTo(op);
    }
    this.onSelect(op);
    this.paint();
  }

  // Show what was made from one moment to another, both in milliseconds since 1970.
  showTime(from, to) {
    this.change(() => {
      if (this.view.axis !== axes.wall) this.view.useAxis(axes.wall);
      this.view.showRange(from, to);
    });
    this.element.scrollIntoView({ block: "nearest" });
  }

  markOut(mark) {
    this.view.mark = mark;
    this.onMark();
    this.change(() => mark && this.view.reveal(mark));
    this.element.scrollIntoView({ block: "nearest" });
  }

  scrollTo(op) {
    const row = this.view.rowOf.get(op.lane);
    if (row === undefined) return;
    const top = row * this.laneHeight;
    const room = this.lanes.clientHeight - AXIS_HEIGHT - this.laneHeight;
    if (top < this.lanes.scrollTop || top > this.lanes.scrollTop + room) this.lanes.scrollTop = top - room / 2;
  }

  point(event) {
    if (this.drag && this.drag.moved) return;
    const [x, y] = this.at(event);
    const row = this.layout.row(y);
    const lane = this.view.lanes[row];
    if (lane === undefined || y < AXIS_HEIGHT) { this.hover(null); return; }
    const op = x > this.layout.left ? this.opNear(lane, x, event.pointerType === "touch" ? NEAR_FINGER_PX : NEAR_PX) : null;
    this.hover(op, op ? this.aboutOp(op) : this.aboutLane(lane, x), [x, y]);
  }

  // Of the ops drawn in a lane, the one next to x.
  opNear(lane, x, reach) {
    let best = null;
    for (const op of [...(this.seen.single || []), this.view.selected]) {
      if (!op || op.lane !== lane || this.view.at(op) === null) continue;
      const away = Math.abs(this.layout.x(this.view.at(op)) - x);
      if (away <= reach && (!best || away < best.away)) best = { op, away };
    }
    return best && best.op;
  }

  hover(op, about = null, place = null) {
    const changed = op !== this.hovered;
    this.hovered = op;
    if (changed) this.paint();
    this.tip.hidden = !about;
    if (!about) return;
    const [x, y] = place;
    this.tip.replaceChildren(...about.map((line) => line && el("div", {}, line)).filter(Boolean));
    // Beside the pointer, on the side that has more room.
    const [left, right] = x > this.layout.width / 2 ? ["auto", `${this.layout.width - x + 16}px`] : [`${x + 16}px`, "auto"];
    Object.assign(this.tip.style, { left, right, top: `${y + 18}px` });
  }

  aboutOp(op) {
    return [
      [el("b", {}, named(op.actor)), " · ", named(op.domainName), op.state ? " · " : "", named(op.state)],
      [named(op.kind || "op"), " ", named(op.address)],
      op.what && named(op.what),
      `Lamport ${grouped(op.lamport)} · arrived as number ${grouped(op.arrival)}`,
      op.createdAt && named(op.createdAt),
    ];
  }

  aboutLane(lane, x) {
    const name = el("b", {}, named(data.lanes.names[lane]));
    if (x <= this.layout.left) return [name, `${pluralize(laneOps[lane], "op")}, Lamport ${data.lanes.spans[lane].map(grouped).join(" to ")}`];
    const counts = this.columnAt(x, this.layout.top(this.view.rowOf.get(lane)) + 1);
    if (!counts) return null;
    const { width } = this.layout.level();
    const parts = counts.domains.map((count, domain) => count && [named(data.domains.names[domain]), ` ${grouped(count)}`]);
    return [name, `${pluralize(counts.total, "op")} ${this.view.axis.column(counts.column * width, width)}`, ...parts];
  }

  // The column of counts at a point of the canvas, if bars are drawn.
  columnAt(x, y) {
    const lane = this.view.lanes[this.layout.row(y)];
    if (x <= this.layout.left || y < AXIS_HEIGHT || lane === undefined || (this.seen.all && data.shown.whole)) return null;
    const { lanes, width } = this.layout.level();
    return lanes[lane].get(Math.floor(this.layout.placeAt(x) / width)) || null;
  }
}
