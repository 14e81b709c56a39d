// The sections of the page, from top to bottom.

function card(title, ...content) {
  return el("section", { class: "card" }, el("h2", {}, title), ...content);
}

function topOfPage(themeButton) {
  const made = `Report made ${data.madeAt.replace("T", " ").slice(0, 19)} UTC by muse-op-log ${data.version}`;
  const from = `from ops.jsonl at that time: ${bytes(data.sizeBytes)}, ${pluralize(data.ops, "op")}`;
  return el("header", { class: "top" }, el("div", {}, el("h1", {}, named(data.session)), el("p", { class: "soft" }, `${made}, ${from}`)), themeButton);
}

function tile(term, value, remark = "", mood = "") {
  return el("div", { class: "tile" }, el("dt", {}, term), el("dd", { class: mood || null }, value), remark ? el("dd", { class: "small" }, remark) : null);
}

function tiles() {
  const { checkpoint, verify, activity } = data;
  const damage = verify && verify.counts.reduce((sum, [, count]) => sum + count, 0);
  const verdict = !verify ? ["not checked"] : verify.ok ? [damage ? "no damage" : "whole", damage ? pluralize(damage, "finding") : "nothing found", "fine"] : ["damaged", pluralize(damage, "finding"), "bad"];
  const pending = checkpoint.problem ? ["?", "checkpoint can't be used", "bad"] : [grouped(checkpoint.pending), checkpoint.mark ? "since the checkpoint" : "no checkpoint yet"];
  return el(
    "dl",
    { class: "tiles" },
    tile("Ops", grouped(data.ops), data.ops ? `in ${activity.spanS ? duration(activity.spanS) : "no time"}` : ""),
    tile("Actors", grouped(data.lanes.actors)),
    tile("Domains", grouped(data.domains.names.length + Math.max(data.domains.shared - 1, 0))),
    tile("Lamport time", data.ops ? grouped(data.lamport[1]) : "–", data.ops ? `from ${grouped(data.lamport[0])}` : ""),
    tile("Pending", ...pending),
    tile("Concurrent", grouped(data.concurrent), "don't depend on all earlier ops"),
    tile("Late", grouped(data.late), "timestamp below an earlier arrival's"),
    tile("Check", ...verdict),
  );
}

// A sentence that says how much of the session the diagram shows.
function whatIsShown() {
  if (!data.ops) return "This session holds no ops.";
  if (data.shown.whole) return `All ${pluralize(data.ops, "op")} are in this page. If too many are in view, bars show counts; zoom in to see each op.`;
  return (
    `${grouped(ops.length)} of ${pluralize(data.ops, "op")} are shown one by one: a random sample, and some ops that link lanes, with their parents. ` +
    `The bars count all ops, in bins of ${pluralize(density.width, "timestamp")} or more.`
  );
}

function aboutCheckpoint() {
  const { mark, problem, late } = data.checkpoint;
  const others = commits.length ? " Each thin line is a commit, at the highest timestamp that it and those before it cover; where they would touch, one stands for several. Mark one in the table of commits to see which ops are in it." : "";
  if (problem) return el("p", { class: "small bad" }, "The checkpoint can't be used: ", named(problem), others);
  if (!mark) return el("p", { class: "small soft" }, others ? `There is no checkpoint.${others}` : "No checkpoint was made: everything is pending.");
  return el(
    "p",
    { class: "small soft" },
    "Dashed line: the highest timestamp that the last checkpoint, ", named(mark.snapshot), `, covers (${grouped(mark.lamport)}). All ops to the right of it are pending. A checkpoint covers the ops that had arrived, not a range of timestamps: `,
    late ? `${grouped(late)} of the pending ops are on the line or left of it.` : "here no pending op is left of the line.",
    ` Pending ops are drawn hollow.${others || " Earlier checkpoints are not recorded."}`,
  );
}

function keysHelp() {
  const keys = [
    ["← →", "move in time; or drag, or Shift with the wheel"], ["↑ ↓", "scroll the lanes; or drag, or the wheel"],
    ["+ −", "zoom; or Ctrl with the wheel, or a double click"], ["Home", "all of it again"],
    ["N P", "select the next or previous op; or click or tap one"], ["Esc", "select none"],
    ["Touch", "one finger moves, two zoom"],
  ];
  const list = el("div", { class: "keys", id: "keys" }, keys.flatMap(([names, what]) => [el("span", {}, names.split(" ").map((name) => el("kbd", {}, name))), el("span", {}, what)]));
  return el("details", {}, el("summary", {}, "Keys, mouse and touch"), list);
}

function pressed(label, title, act) {
  const button = el("button", { type: "button", title, "aria-label": title }, label);
  button.addEventListener("click", act);
  return button;
}

function controls(diagram, changed) {
  const { view } = diagram;
  const filter = el("input", { type: "search", id: "filter", placeholder: "part of a name", autocomplete: "off" });
  filter.addEventListener("input", () => changed(() => { view.wanted = filter.value; view.arrange(); diagram.lanes.scrollTop = 0; }));
  const order = el("select", { id: "order" }, Object.keys(LANE_ORDERS).map((name) => el("option", {}, name)));
  order.addEventListener("change", () => changed(() => { view.order = order.value; view.arrange(); }));
  const height = el("input", { type: "range", id: "lane-height", min: 4, max: 60, value: diagram.laneHeight });
  height.addEventListener("input", () => changed(() => { diagram.laneHeight = Number(height.value); }));
  const linked = el("input", { type: "checkbox", id: "links", checked: true });
  linked.addEventListener("change", () => changed(() => { view.linked = linked.checked; }));
  return el(
    "div",
    { class: "controls" },
    el(
      "div",
      { class: "group", role: "group", "aria-label": "Zoom" },
      pressed("−", "Zoom out", () => changed(() => diagram.zoomOnSelected(1 / 1.5))),
      pressed("+", "Zoom in", () => changed(() => diagram.zoomOnSelected(1.5))),
      pressed("All", "Show all of it", () => changed(() => view.reset())),
    ),
    el("label", {}, "Actor", filter),
    el("label", {}, "Lanes", order),
    el("label", {}, "Lane height", height),
    el("label", {}, linked, "Links between lanes"),
  );
}

function diagramSection() {
  const details = new Details();
  const select = (op) => diagram.select(op);
  const diagram = new Diagram((op) => details.show(op, select));
  const table = new OpTable(diagram.view, select);
  const changed = (how) => { diagram.change(how); table.show(0); };
  const section = el(
    "section",
    { class: "card", "aria-labelledby": "diagram-title" },
    el("div", { class: "head" }, el("h2", { id: "diagram-title" }, "Who did what, and what it depends on"), legend()),
    el("p", { class: "small soft" }, whatIsShown()),
    aboutCheckpoint(),
    controls(diagram, changed),
    diagram.element,
    details.element,
    el("div", { class: "more" }, keysHelp()),
    table.element,
  );
  // Update the table when keys and mouse have not changed the view for a moment.
  let timer = 0;
  for (const name of ["keyup", "pointerup", "wheel"]) {
    diagram.element.addEventListener(name, () => { clearTimeout(timer); timer = setTimeout(() => table.show(0), 200); });
  }
  return { section, diagram };
}

// The commits, newest first; a click marks one in the diagram, or ends that.
function commitsSection(diagram) {
  const { all, ops: committed } = data.commits;
  const columns = ["Commit", "When (UTC)", "Ops", "By whom"];
  const head = el("tr", {}, columns.map((name) => el("th", { scope: "col", class: name === "Ops" ? "number" : null }, name)));
  const rows = commits.map((commit) => {
    const button = el("button", { class: "plain", type: "button", "aria-pressed": "false" }, named(commit.id));
    const row = el("tr", {}, el("td", {}, button), el("td", {}, named(commit.when)), el("td", { class: "number" }, grouped(commit.size)), el("td", { class: "text" }, byWhom(commit)));
    row.addEventListener("click", () => {
      diagram.markCommit(diagram.view.commit === commit ? null : commit);
      for (const other of rows) other.querySelector("button").setAttribute("aria-pressed", String(other === row && diagram.view.commit === commit));
    });
    return row;
  });
  const listed = all > rows.length ? `${grouped(rows.length)} of ${grouped(all)} commits are listed: the newest, and older ones at even distance.` : `${pluralize(all, "commit")}, the newest first.`;
  const rest = data.ops - committed;
  return card(
    "Commits",
    el("p", { class: "small soft" }, `${listed} The commits hold ${pluralize(committed, "op")}; ${rest ? `${grouped(rest)} ${rest === 1 ? "is" : "are"} in none` : "every op is in one"}. Click one to mark its line; the ops of all others turn pale.`),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Commits" }, el("table", { id: "commits" }, el("thead", {}, head), el("tbody", {}, rows))),
  );
}

// The most active actors of a commit, and how many more.
function byWhom({ actors, lanes }) {
  const made = [];
  for (let at = 0; at < lanes.length; at += 2) made.push(made.length ? ", " : "", named(data.lanes.names[lanes[at]]), ` ${grouped(lanes[at + 1])}`);
  const more = actors - lanes.length / 2;
  return more ? [...made, made.length ? `, ${grouped(more)} more` : pluralize(more, "actor")] : made;
}

function activitySection() {
  const { undated } = data.activity;
  const remark = undated ? ` ${pluralize(undated, "op")} ${undated === 1 ? "has" : "have"} no valid time.` : "";
  return card("Activity over wall time", el("p", { class: "small soft" }, `By created_at, in UTC. Nothing is ordered by this time.${remark}`), new Activity().element);
}

function shareSections() {
  const actors = data.lanes.names.map((name, lane) => ({ name, parts: data.lanes.byDomain[lane], total: laneOps[lane] }));
  const domains = data.domains.names.map((name, domain) => ({ name, total: data.domains.ops[domain], mark: swatch(domain), parts: data.domains.ops.map((count, at) => (at === domain ? count : 0)) }));
  const kinds = data.kinds.names.map((name, kind) => ({ name, parts: [data.kinds.ops[kind]], total: data.kinds.ops[kind] }));
  return el(
    "div",
    { class: "columns" },
    card("Share of each actor", shareTable("Actor", actors)),
    el("div", {}, card("Share of each domain", shareTable("Domain", domains)), card("Kinds of op", shareTable("Kind", kinds, true))),
  );
}

function pendingSection() {
  const { mark, pending, problem, late } = data.checkpoint;
  const rows = problem
    ? [pair("Problem", named(problem))]
    : [
        pair("Checkpoint", mark ? named(mark.snapshot) : "none yet"),
        mark ? pair("Made at", named(mark.at)) : null,
        mark ? pair("Covers", `${pluralize(mark.ops, "op")}, up to Lamport ${grouped(mark.lamport)}`) : null,
        pair("Pending", `${pluralize(pending, "op")}, ${percent(pending, data.ops)} of all`),
        mark ? pair("Pending, not above that timestamp", pluralize(late, "op")) : null,
      ];
  rows.push(pair("Ops without parents", grouped(data.roots)), pair("Ops with two parents or more", grouped(data.joins)), pair("Ops whose parent had not arrived", grouped(data.missingParents)));
  return card("Pending work and causality", el("div", { class: "details" }, el("dl", {}, rows)));
}

function verifySection() {
  const found = data.verify;
  if (!found) return card("What the check found", el("p", { class: "small soft" }, "The session was not checked for this report."));
  const looked = `${bytes(found.sizeBytes)}, ${pluralize(found.lines, "line")}, ${pluralize(found.entries, "entry", "entries")} checked: each line, the index against the log, the checkpoint against what it covers.`;
  const verdict = found.ok ? (found.counts.length ? "No damage." : "No findings.") : "Damage was found.";
  const tail = found.tailBytes ? ` The last ${pluralize(found.tailBytes, "byte")} are an unfinished line.` : "";
  const content = [el("p", { class: "small soft" }, el("b", { class: found.ok ? "fine" : "bad" }, verdict), " ", looked, tail)];
  if (found.findings.length) content.push(findingsTable(found));
  return card("What the check found", ...content);
}

function findingsTable(found) {
  const columns = ["At byte", "Length", "Finding", "Severity", "Reason", "What to do"];
  const all = found.counts.reduce((sum, [, count]) => sum + count, 0);
  const head = el("tr", {}, columns.map((name, at) => el("th", { scope: "col", class: at < 2 ? "number" : null }, name)));
  const rows = found.findings.map(([kind, severity, offset, length, reason, remedy]) =>
    el(
      "tr",
      {},
      [offset, length].map((number) => el("td", { class: "number" }, number === null ? "–" : grouped(number))),
      [kind, severity, reason, remedy].map((text) => el("td", { class: "text" }, text)),
    ),
  );
  const caption = all > rows.length ? `The first ${grouped(rows.length)} of ${pluralize(all, "finding")}; muse op-log verify lists more` : pluralize(all, "finding");
  return el("div", { class: "scroll findings", tabindex: "0", role: "region", "aria-label": "Findings" }, el("table", {}, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, rows)));
}

function footer() {
  return el(
    "footer",
    {},
    el("h2", {}, "How to read this"),
    el(
      "div",
      {},
      el("p", {}, "Each lane is an actor, and each mark is an op; colour and shape show its domain. Lamport time increases to the right. An op is to the right of every op that it depends on, unless its author gave it too low a timestamp, which the check reports. Lines lead from an op to the ops of other lanes that depend on it; between lanes that are no neighbours, only the ends of a line are drawn until its op is selected. Two ops are concurrent if neither depends on the other, directly or through other ops. Neither a lane nor a missing line tells that: within a lane no lines are drawn, and ops may depend on each other through ops of further lanes."),
      el("p", {}, "The height of a bar grows with the logarithm of its count, so that a single op is visible beside thousands. Invisible and control characters in texts are shown as their codes, and long texts are cut and end with an ellipsis."),
      el("p", {}, "This file is self-contained: it loads nothing and sends nothing."),
    ),
  );
}
