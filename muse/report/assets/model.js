// The data of the page, in the form that the rest of the script uses. muse/report/data.py writes it.

const data = JSON.parse(document.getElementById("data").textContent);

// The commits shown one by one, the newest first. Ops may be in others, of which only the id is known.
const commits = (data.commits ? data.commits.rows : []).map(([number, id, when, size, end, lamport, actors, lanes]) => (
  { number, id, when, size, end, lamport, actors, lanes }
)).reverse();
const commitIds = new Map([...commits.map(({ number, id }) => [number, id]), ...(data.commits ? data.commits.others : [])]);

const ops = data.shown.rows.map((row, number) => {
  const [id, lane, domain, lamport, arrival, pending, allParents, parents, commit] = row;
  const text = data.shown.texts[number];
  const [kind, createdAt = "", address = "", what = "", intent = "", reservation = "", actor = "", realm = ""] = text || [];
  return {
    number, id, lane, domain, lamport, arrival, commit,
    state: commit ? `in commit ${commitIds.get(commit)}` : pending ? "pending" : data.commits ? "in no commit" : "",
    // Without a checkpoint or commit all ops are pending, so marking them would tell nothing.
    hollow: pending === 1 && (data.checkpoint.mark !== null || data.commits !== null), allParents, parents, createdAt, address, what,
    intent, reservation, hasText: Boolean(text), kind: text ? data.shown.kinds[kind] : "",
    actor: actor || data.lanes.names[lane], domainName: realm || data.domains.names[domain], children: [],
  };
});

// Links between lanes, each from a parent to the op that depends on it.
const links = [];
for (const op of ops) {
  for (const parent of op.parents) {
    if (typeof parent !== "number") continue;
    ops[parent].children.push(op);
    if (ops[parent].lane !== op.lane) links.push({ from: ops[parent], to: op });
  }
}

const opsByLane = data.lanes.names.map(() => []);
for (const op of ops) opsByLane[op.lane].push(op);
const inLaneOrder = (one, other) => one.lamport - other.lamport || one.arrival - other.arrival;
for (const lane of opsByLane) lane.sort(inLaneOrder);

const laneOps = data.lanes.byDomain.map((counts) => counts.reduce((sum, count) => sum + count, 0));

// The position of the first op of a lane at or after a timestamp.
function positionAt(lane, lamport) {
  const list = opsByLane[lane];
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].lamport < lamport) low = middle + 1; else high = middle;
  }
  return low;
}

// Counts by lane, in columns that each span several timestamps. Made from the ops if all are here, else from the bins.
class Density {
  constructor() {
    this.width = data.density ? data.density.width : 1;
    this.levels = new Map();
  }

  // Columns of at least `span` timestamps; each is a power of two of bins: {width, lanes, all, most}.
  level(span) {
    let width = this.width;
    while (width < span) width *= 2;
    if (!this.levels.has(width)) this.levels.set(width, this.made(width));
    return this.levels.get(width);
  }

  made(width) {
    const lanes = data.lanes.names.map(() => new Map());
    const all = new Map();
    this.each((lane, domain, start, count) => {
      const column = Math.floor(start / width);
      for (const columns of [lanes[lane], all]) {
        let counts = columns.get(column);
        if (!counts) columns.set(column, (counts = { column, total: 0, domains: new Uint32Array(data.domains.names.length) }));
        counts.total += count;
        counts.domains[domain] += count;
      }
    });
    const inOrder = (columns) => [...columns.values()].sort((one, other) => one.column - other.column);
    const most = (columns) => columns.reduce((highest, { total }) => Math.max(highest, total), 0);
    const level = { width, lanes: lanes.map(inOrder), all: inOrder(all) };
    // The shared lane is not used for the scale, since it would make all other bars small. Its bars are cut at the top.
    const own = data.lanes.shared ? level.lanes.slice(0, -1) : level.lanes;
    level.most = own.reduce((highest, columns) => Math.max(highest, most(columns)), 0);
    level.mostOfAll = most(level.all);
    return level;
  }

  each(visit) {
    if (!data.density) {
      for (const op of ops) visit(op.lane, op.domain, op.lamport, 1);
      return;
    }
    for (const [lane, domain, ...gaps] of data.density.runs) {
      let bin = 0;
      for (let at = 0; at < gaps.length; at += 2) {
        bin += gaps[at];
        visit(lane, domain, bin * this.width, gaps[at + 1]);
      }
    }
  }
}

const density = new Density();

// The columns of a lane that overlap [from, to], found by binary search.
function columnsBetween(columns, width, from, to) {
  let low = 0;
  let high = columns.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((columns[middle].column + 1) * width <= from) low = middle + 1; else high = middle;
  }
  let end = low;
  while (end < columns.length && columns[end].column * width < to) end += 1;
  return columns.slice(low, end);
}
