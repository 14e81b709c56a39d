// The interaction with the diagram: pointer, keys, the tooltip, and the overview strip below.

const TALLEST = 560;
const NEAR_PX = 9;
const NEAR_FINGER_PX = 20;

class Diagram {
  constructor(onSelect) {
    this.view = new View();
    this.onSelect = onSelect;
    this.hovered = null;
    // The pointers that are down, by id, and where they began to move or zoom the view.
    this.held = new Map();
    this.drag = null;
    this.laneHeight = this.fittingLaneHeight();
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.spacer = el("div");
    this.lanes = el(
      "div",
      {
        class: "lanes", tabindex: "0", role: "application", id: "diagram", "aria-describedby": "keys status",
        "aria-label": "Space-time diagram: a lane for each actor, ops by Lamport time",
      },
      this.canvas,
      this.spacer,
    );
    this.overview = el("canvas", { class: "overview", "aria-hidden": "true" });
    this.tip = el("div", { class: "tip", role: "status", hidden: true });
    this.status = el("p", { class: "status small soft", id: "status", role: "status" });
    this.element = el("div", { class: "diagram" }, this.lanes, this.overview, this.tip, this.status);
    this.painter = new Painter(this.canvas.getContext("2d"));
    this.listen();
  }

  fittingLaneHeight() {
    return Math.min(Math.max(Math.floor((TALLEST - AXIS_HEIGHT) / Math.max(data.lanes.names.length, 1)), 14), 40);
  }

  listen() {
    new ResizeObserver(() => this.paint()).observe(this.element);
    this.lanes.addEventListener("scroll", () => this.change(() => {}));
    this.lanes.addEventListener("keydown", (event) => this.key(event));
    this.lanes.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.lanes.addEventListener("pointerdown", (event) => this.grab(event));
    this.lanes.addEventListener("pointermove", (event) => this.point(event));
    addEventListener("pointermove", (event) => this.dragged(event));
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, (event) => this.release(event));
    // The browser scrolls the lanes with one finger, but two are for zooming.
    this.lanes.addEventListener("touchmove", (event) => { if (event.touches.length > 1 && event.cancelable) event.preventDefault(); }, { passive: false });
    this.lanes.addEventListener("pointerleave", () => this.hover(null));
    this.lanes.addEventListener("dblclick", (event) => this.change(() => this.view.zoom(2, this.shareAt(event))));
    for (const name of ["pointerdown", "pointermove"]) {
      this.overview.addEventListener(name, (event) => {
        if (event.buttons === 1) this.jump(event);
      });
    }
  }

  // Change the view and redraw. What the pointer was at is elsewhere then, so that nothing more is said of it.
  change(how) {
    how();
    this.hovered = null;
    this.tip.hidden = true;
    this.paint();
  }

  paint() {
    const width = this.lanes.clientWidth;
    if (!width) return;
    const content = this.view.lanes.length * this.laneHeight;
    const height = Math.min(AXIS_HEIGHT + Math.max(content, 40), TALLEST);
    this.lanes.style.height = `${height + 2}px`;
    this.spacer.style.height = `${Math.max(AXIS_HEIGHT + content - height, 0)}px`;
    this.view.fromTop = this.lanes.scrollTop;
    this.layout = new Layout(this.view, this.lanes.clientWidth, height, this.laneHeight);
    this.colours = themeColours();
    fitted(this.canvas, this.layout.width, height);
    const seen = this.painter.paint(this.layout, this.colours, this.hovered);
    this.paintOverview();
    this.tell(seen);
  }

  paintOverview() {
    const { width, left, plotWidth } = this.layout;
    const height = 44;
    const pen = fitted(this.overview, width, height);
    const [from, to] = [this.view.lowest, this.view.highest];
    const x = (lamport) => left + ((lamport - from) / (to - from)) * plotWidth;
    const level = density.level((2 * (to - from)) / plotWidth);
    pen.fillStyle = this.colours.stripe;
    pen.fillRect(left, 0, plotWidth, height);
    for (const counts of level.all) {
      const start = Math.round(x(counts.column * level.width));
      const end = Math.max(Math.round(x((counts.column + 1) * level.width)), start + 1);
      let y = height;
      const tall = (height * 0.9 * Math.log1p(counts.total)) / Math.log1p(level.mostOfAll);
      counts.domains.forEach((count, domain) => {
        const part = (tall * count) / counts.total;
        pen.fillStyle = this.colours.domains[domain];
        pen.fillRect(start, y - part, end - start, part);
        y -= part;
      });
    }
    pen.fillStyle = this.colours.card;
    pen.globalAlpha = 0.7;
    pen.fillRect(left, 0, x(this.view.from) - left, height);
    pen.fillRect(x(this.view.to), 0, left + plotWidth - x(this.view.to), height);
    pen.globalAlpha = 1;
    pen.strokeStyle = this.colours.soft;
    pen.strokeRect(x(this.view.from) + 0.5, 0.5, Math.max(x(this.view.to) - x(this.view.from) - 1, 2), height - 1);
    pen.fillStyle = this.colours.soft;
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillText("All of it", 12, height / 2);
  }

  // Describe in words what is in view.
  tell({ single, drawn, all }) {
    const view = this.view;
    const range = `Lamport time ${grouped(Math.max(view.from, data.lamport[0]))} to ${grouped(Math.min(view.to, data.lamport[1]))}`;
    const parts = [range];
    if (view.wanted) parts.push(`${grouped(view.lanes.length)} of ${pluralize(data.lanes.names.length, "lane")}`);
    const column = pluralize(density.level((LEAST_COLUMN_PX * view.span) / this.layout.plotWidth).width, "timestamp");
    if (!single) parts.push(`density: each bar counts the ops of ${column}; zoom in for single ops`);
    else if (data.shown.whole) parts.push(`${pluralize(single.length, "op")}, every one shown`);
    else parts.push(`${pluralize(single.length, "op")} of the sample; each pale bar counts all ops of ${column}`);
    if (view.commit && single) parts.push(`${pluralize(single.filter((op) => op.commit === view.commit.number).length, "op")} in commit ${view.commit.id}`);
    if (drawn) parts.push(drawn < all ? `${grouped(drawn)} of ${pluralize(all, "link")}` : pluralize(all, "link"));
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
    // It was lifted where the page was not told.
    if (!event.buttons) { this.release(event); return; }
    this.held.set(event.pointerId, event);
    const { drag } = this;
    const { x, y, apart } = this.grip();
    if (Math.hypot(x - drag.x, y - drag.y) > 3) drag.moved = true;
    if (!drag.moved) return;
    this.lanes.classList.add("dragging");
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
    this.lanes.classList.remove("dragging");
    if (moved || event.type !== "pointerup") return;
    this.point(event);
    this.select(this.hovered);
  }

  jump(event) {
    const box = this.overview.getBoundingClientRect();
    const share = (event.clientX - box.left - this.layout.left) / this.layout.plotWidth;
    const middle = this.view.lowest + share * (this.view.highest - this.view.lowest);
    this.change(() => this.view.show(middle - this.view.span / 2, this.view.span));
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
    const at = this.view.selected || this.view.commit;
    const share = at ? (at.lamport - this.view.from) / this.view.span : 0.5;
    this.view.zoom(factor, share >= 0 && share <= 1 ? share : 0.5);
  }

  // Select the next or previous op in the lanes that match the filter, ordered by time, then from top to bottom.
  step(direction) {
    const list = this.view.lanes.flatMap((lane) => opsByLane[lane]).sort(
      (one, other) => one.lamport - other.lamport || this.view.rowOf.get(one.lane) - this.view.rowOf.get(other.lane) || one.number - other.number,
    );
    const now = list.indexOf(this.view.selected);
    const inView = (op) => op.lamport >= this.view.from && op.lamport <= this.view.to;
    const start = direction > 0 ? list.findIndex(inView) : list.findLastIndex(inView);
    const next = list[now < 0 ? start : now + direction];
    if (next) this.select(next);
  }

  select(op) {
    this.view.selected = op;
    if (op) {
      this.view.reveal(op.lamport);
      this.scrollTo(op);
    }
    this.onSelect(op);
    this.paint();
  }

  markCommit(commit) {
    this.view.commit = commit;
    this.change(() => commit && this.view.reveal(commit.lamport));
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

  opNear(lane, x, reach) {
    const singles = this.view.singleOps(this.layout.rows().map((row) => this.view.lanes[row]));
    const list = singles ? opsByLane[lane] : this.view.selected && this.view.selected.lane === lane ? [this.view.selected] : [];
    let best = null;
    for (let at = singles ? positionAt(lane, this.layout.lamport(x - reach)) : 0; at < list.length; at += 1) {
      const away = Math.abs(this.layout.x(list[at].lamport) - x);
      if (this.layout.x(list[at].lamport) > x + reach) break;
      if (away <= reach && (!best || away < best.away)) best = { op: list[at], away };
    }
    return best && best.op;
  }

  hover(op, about = null, place = null) {
    const changed = op !== this.hovered;
    this.hovered = op;
    if (changed) this.paint();
    this.tip.hidden = !about;
    if (about) {
      this.tip.replaceChildren(...about);
      this.placeTip(place);
    }
  }

  placeTip([x, y]) {
    const width = this.tip.offsetWidth;
    const left = x + 16 + width > this.layout.width ? x - width - 16 : x + 16;
    this.tip.style.left = `${Math.max(left, 0)}px`;
    this.tip.style.top = `${y + 18}px`;
  }

  aboutOp(op) {
    return [
      el("div", {}, el("b", {}, named(op.actor)), " · ", named(op.domainName), op.state ? " · " : "", named(op.state)),
      el("div", {}, named(op.kind || "op"), " ", named(op.address)),
      op.what ? el("div", {}, named(op.what)) : null,
      el("div", {}, `Lamport ${grouped(op.lamport)} · arrived as number ${grouped(op.arrival)}`),
      op.createdAt ? el("div", {}, named(op.createdAt)) : null,
    ].filter(Boolean);
  }

  aboutLane(lane, x) {
    const name = el("div", {}, el("b", {}, named(data.lanes.names[lane])));
    if (x <= this.layout.left) return [name, el("div", {}, `${pluralize(laneOps[lane], "op")}, Lamport ${data.lanes.spans[lane].map(grouped).join(" to ")}`)];
    const level = density.level((LEAST_COLUMN_PX * this.view.span) / this.layout.plotWidth);
    const lamport = this.layout.lamport(x);
    const [counts] = columnsBetween(level.lanes[lane], level.width, lamport, lamport + Number.EPSILON);
    if (!counts || counts.column !== Math.floor(lamport / level.width)) return null;
    const from = counts.column * level.width;
    return [
      name,
      el("div", {}, `${pluralize(counts.total, "op")} at Lamport ${grouped(from)} to ${grouped(from + level.width - 1)}`),
      ...[...counts.domains].map((count, domain) => count && el("div", {}, named(data.domains.names[domain]), ` ${grouped(count)}`)).filter(Boolean),
    ];
  }
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
