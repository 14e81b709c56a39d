// The strip below the diagram: all ops on the axis, and the range of it that is in view.

const STRIP_HEIGHT = 44;

class Strip {
  // `change` does what it is given to the view, and redraws everything.
  constructor(view, change) {
    Object.assign(this, { view, change, held: null });
    this.element = el("canvas", {
      class: "overview",
      "aria-hidden": "true",
      pointerdown: (event) => this.grab(event),
      pointermove: (event) => this.drag(event),
      pointerup: () => this.release(),
    });
  }

  paint(layout, colours) {
    this.layout = layout;
    const { left, plotWidth } = layout;
    const { lowest, highest, density } = this.view.axis;
    const pen = fitted(this.element, layout.width, STRIP_HEIGHT);
    // The first and the last column may reach beyond the axis.
    const x = (place) => left + Math.min(Math.max((place - lowest) / (highest - lowest), 0), 1) * plotWidth;
    const level = density.level((2 * (highest - lowest)) / plotWidth);
    pen.fillStyle = colours.stripe;
    pen.fillRect(left, 0, plotWidth, STRIP_HEIGHT);
    for (const counts of level.all.values()) {
      const start = Math.round(x(counts.column * level.width));
      const end = Math.max(Math.round(x((counts.column + 1) * level.width)), start + 1);
      const tall = (STRIP_HEIGHT * 0.9 * Math.log1p(counts.total)) / Math.log1p(level.mostOfAll);
      stacked(pen, colours, counts, start, end - start, STRIP_HEIGHT, tall);
    }
    const [from, to] = [x(this.view.from), x(this.view.to)];
    Object.assign(pen, { fillStyle: colours.card, globalAlpha: 0.7 });
    pen.fillRect(left, 0, from - left, STRIP_HEIGHT);
    pen.fillRect(to, 0, left + plotWidth - to, STRIP_HEIGHT);
    Object.assign(pen, { globalAlpha: 1, strokeStyle: colours.soft, lineWidth: 1 });
    pen.strokeRect(from + 0.5, 0.5, Math.max(to - from - 1, 2), STRIP_HEIGHT - 1);
    write(pen, "All of it", 12, STRIP_HEIGHT / 2, colours.soft);
  }

  placeAt(event) {
    const { lowest, highest } = this.view.axis;
    return lowest + ((event.offsetX - this.layout.left) / this.layout.plotWidth) * (highest - lowest);
  }

  // A range dragged on the strip comes into view; a click moves what is in view there.
  grab(event) {
    this.element.setPointerCapture(event.pointerId);
    this.held = { start: this.placeAt(event), x: event.clientX, span: this.view.span, moved: false };
  }

  drag(event) {
    const { held } = this;
    if (!held || event.buttons !== 1) return;
    held.moved ||= Math.abs(event.clientX - held.x) > 3;
    if (held.moved) this.change(() => this.view.showRange(held.start, this.placeAt(event)));
  }

  release() {
    const { held } = this;
    this.held = null;
    if (held && !held.moved) this.change(() => this.view.show(held.start - held.span / 2, held.span));
  }
}
