// The two horizontal axes: Lamport time and wall time. An op, a commit and the checkpoint each have a place on an axis,
// which is their property `key`; it is null if they have none.

const DAY_MS = 86_400_000;
const TIME_STEPS_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
  900_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000, DAY_MS, 2 * DAY_MS, 7 * DAY_MS,
  14 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS, 180 * DAY_MS, 365 * DAY_MS,
];

// A moment as text, "2026-01-02 03:04:05.678". A log may hold times beyond the range of Date.
function utc(ms) {
  const moment = new Date(ms);
  return Number.isNaN(moment.getTime()) ? "?" : moment.toISOString().replace("T", " ").replace("Z", "");
}

// The multiples of a step within a range.
function multiples(step, from, to) {
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.max(Math.floor(to / step) - first + 1, 0) }, (_, at) => (first + at) * step);
}

// Round times within a span, about `wanted` of them, as [milliseconds, label]. A label says no more than is needed.
function timeTicks(startMs, span, wanted) {
  const step = TIME_STEPS_MS.find((size) => span / size <= wanted) || roundStep(span, wanted);
  const [from, to] = step >= DAY_MS ? [0, 10] : step >= 60_000 && span > DAY_MS ? [5, 16] : step >= 60_000 ? [11, 16] : step >= 1000 ? [11, 19] : [11, 23];
  return multiples(step, startMs, startMs + span).map((at) => [at, utc(at).slice(from, to)]);
}

class Axis {
  // `least` is the shortest range that can be in view.
  constructor(key, name, unit, ends, bins, least) {
    Object.assign(this, { key, name, unit, ends, least });
    const margin = Math.max((ends[1] - ends[0]) * 0.01, 1);
    [this.lowest, this.highest] = [ends[0] - margin, Math.max(ends[1] + margin, ends[0] - margin + least)];
    this.order = (one, other) => one[key] - other[key] || one.lamport - other.lamport || one.arrival - other.arrival;
    this.lanes = data.lanes.names.map(() => []);
    for (const op of ops) if (op[key] !== null) this.lanes[op.lane].push(op);
    for (const lane of this.lanes) lane.sort(this.order);
    this.density = new Density(key, bins);
  }

  // The first and the last place between two others, as text; the margins hold nothing.
  range(from, to) {
    return [Math.max(Math.ceil(from), this.ends[0]), Math.min(Math.floor(to), this.ends[1])].map((at) => this.text(at));
  }
}

class LamportAxis extends Axis {
  constructor() { super("lamport", "Lamport time", "Lamport", data.lamport, data.density, 6); }

  text(at) { return at.toLocaleString("en-US"); }

  // The place that a text names, or NaN.
  read(text) { return text.trim() ? Number(text.replaceAll(",", "")) : NaN; }

  ticks(from, span, wanted) {
    return multiples(roundStep(span, wanted), Math.max(from, 0), from + span).map((at) => [at, grouped(at)]);
  }

  column(start, width) { return `at Lamport ${grouped(start)} to ${grouped(start + width - 1)}`; }
}

class WallAxis extends Axis {
  constructor() { super("time", "Wall time (UTC)", "UTC", data.activity.ends.map(Number), data.timeDensity, 20); }

  text(at) { return utc(at); }

  // The place that a text names, such as "2026-01-02 03:04:05" or, on the first day, "03:04:05"; NaN if it names none.
  read(text) {
    const written = text.trim().replace(" ", "T");
    const dated = /^\d\d?:/.test(written) ? `${utc(this.ends[0]).slice(0, 10)}T${written.replace(/^\d:/, "0$&")}` : written;
    return Date.parse(/Z$|[+-]\d\d:\d\d$/.test(dated) || !dated.includes("T") ? dated : `${dated}Z`);
  }

  ticks(from, span, wanted) { return timeTicks(from, span, wanted); }

  column(start, width) { return `from ${this.text(start)}, ${duration(width / 1000)} long`; }
}

const axes = { lamport: new LamportAxis(), wall: new WallAxis() };
