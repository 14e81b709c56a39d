// The data of the page, in the form that the rest of the script uses. muse/report/page/data.py writes it.

const data = JSON.parse(document.getElementById("data").textContent);

// The commits shown one by one, the newest first. Ops may be in others, of which only the id is known.
const commits = (data.commits ? data.commits.rows : []).map(([number, id, when, size, end, lamport, actors, lanes, time]) => (
  { number, id, label: `commit ${id}`, when, size, end, lamport, time, actors, lanes, holds: (op) => op.commit === number }
)).reverse();
const commitIds = new Map([...commits.map(({ number, id }) => [number, id]), ...(data.commits ? data.commits.others : [])]);
const checkpoint = data.checkpoint.mark && { ...data.checkpoint.mark, id: data.checkpoint.mark.snapshot, label: `checkpoint ${data.checkpoint.mark.snapshot}`, holds: (op) => !op.hollow };
// Without a checkpoint or commit all ops are pending, so marking them would tell nothing.
const pendingOps = { id: "not committed", label: "not committed", lamport: null, time: null, holds: (op) => op.hollow };
const anyCommitted = checkpoint !== null || data.commits !== null;

// The kinds of op that have a glyph; all others share the last one.
const GLYPHS = { insert: "+", delete: "−", move: "→", replace: "⇄", mutate: "~", patch: "≡" };
const OTHER_GLYPH = "•";
const glyphOf = (kind) => (Object.hasOwn(GLYPHS, kind) ? GLYPHS[kind] : OTHER_GLYPH);

const ops = data.shown.rows.map((row, number) => {
  const [id, lane, domain, lamport, arrival, pending, allParents, parents, commit, time] = row;
  const text = data.shown.texts[number];
  const [kind, createdAt = "", address = "", what = "", intent = "", reservation = "", actor = "", realm = ""] = text || [];
  return {
    number, id, lane, domain, lamport, time, arrival, commit,
    state: commit ? `in commit ${commitIds.get(commit)}` : pending ? "pending" : data.commits ? "in no commit" : "",
    hollow: pending === 1 && anyCommitted, allParents, parents, createdAt, address, what,
    intent, reservation, hasText: Boolean(text), kind: text ? data.shown.kinds[kind] : "",
    actor: actor || data.lanes.names[lane], domainName: realm || data.domains.names[domain], children: [],
  };
});

// Links between lanes, each from a parent to the op that depends on it. The parents of an op are ops, or the op_ids of
// those that are not shown.
const links = [];
for (const op of ops) {
  op.parents = op.parents.map((parent) => ops[parent] || parent);
  for (const parent of op.parents.filter((one) => one.children)) {
    parent.children.push(op);
    if (parent.lane !== op.lane) links.push({ from: parent, to: op });
  }
}

const sum = (counts) => counts.reduce((all, count) => all + count, 0);
const laneOps = data.lanes.byDomain.map(sum);
const colourOf = (domain) => `var(--${data.domains.colours[domain]})`;

// Counts by lane, in columns along an axis. Made from the ops if all are in the page, else from the bins.
class Density {
  constructor(key, bins) {
    Object.assign(this, { key, bins, width: bins ? bins.width : 1, levels: new Map() });
  }

  // Columns of at least `span`; each is a power of two of bins.
  level(span) {
    let width = this.width;
    while (width < span) width *= 2;
    if (!this.levels.has(width)) this.levels.set(width, this.made(width));
    return this.levels.get(width);
  }

  // The columns by number, of each lane and of all lanes. Column c begins at c * width.
  made(width) {
    const lanes = data.lanes.names.map(() => new Map());
    const all = new Map();
    this.each((lane, domain, start, count) => {
      const column = Math.floor(start / width);
      for (const columns of [lanes[lane], all]) {
        if (!columns.has(column)) columns.set(column, { column, total: 0, domains: data.domains.names.map(() => 0) });
        const counts = columns.get(column);
        counts.total += count;
        counts.domains[domain] += count;
      }
    });
    const most = (columns) => [...columns.values()].reduce((highest, { total }) => Math.max(highest, total), 0);
    // The shared lane is not used for the scale, since it would make all other bars small. Its bars are cut at the top.
    const own = data.lanes.shared ? lanes.slice(0, -1) : lanes;
    return { width, lanes, all, most: Math.max(...own.map(most), 0), mostOfAll: most(all) };
  }

  each(visit) {
    if (!this.bins) for (const op of ops) if (op[this.key] !== null) visit(op.lane, op.domain, op[this.key], 1);
    for (const [lane, domain, ...gaps] of this.bins ? this.bins.runs : []) {
      let bin = 0;
      for (let at = 0; at < gaps.length; at += 2) {
        bin += gaps[at];
        visit(lane, domain, bin * this.width, gaps[at + 1]);
      }
    }
  }
}
