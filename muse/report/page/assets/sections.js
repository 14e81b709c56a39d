// The sections of the page, from top to bottom.

function card(title, ...content) {
  return el("section", { class: "card" }, el("h2", {}, title), ...content);
}

function topOfPage(themeButton) {
  const made = `Report made ${data.madeAt.replace("T", " ").slice(0, 19)} UTC by muse-op-log ${data.version}`;
  const from = `from ops.jsonl at that time: ${bytes(data.sizeBytes)}, ${pluralize(data.ops, "op")}`;
  return el("header", { class: "top" }, el("div", {}, el("h1", {}, named(data.session)), el("p", { class: "soft" }, `${made}, ${from}`)), themeButton);
}

function tile(term, value, remark = "", mood = null) {
  return el("div", { class: "tile" }, el("dt", {}, term), el("dd", { class: mood }, value), remark ? el("dd", { class: "small" }, remark) : null);
}

function tiles() {
  const { checkpoint: { pending, problem }, verify, activity, domains } = data;
  const damage = verify && sum(verify.counts.map(([, count]) => count));
  const verdict = !verify ? ["not made"] : verify.ok ? [damage ? "no damage" : "whole", damage ? pluralize(damage, "finding") : "nothing found", "fine"] : ["damaged", pluralize(damage, "finding"), "bad"];
  // What the commits hold up to their end is committed, whatever the checkpoint says.
  const byCommits = commits.length > 0 && commits[0].end >= data.ops - pending;
  const since = byCommits ? ["arrived after commit ", named(commits[0].id)] : problem ? ["the checkpoint can't be used"] : checkpoint ? ["arrived after the last checkpoint"] : ["no commit or checkpoint is known"];
  return el(
    "dl",
    { class: "tiles" },
    tile("Ops", grouped(data.ops), data.ops ? `operations within ${activity.spanS ? duration(activity.spanS) : "no time"}` : ""),
    tile("Actors", grouped(data.lanes.actors), "people and programs"),
    tile("Domains", grouped(domains.names.length + Math.max(domains.shared - 1, 0)), domains.names.length < 4 ? named(domains.names.join(", ")) : ""),
    tile("Not committed", grouped(pending), since, problem && !byCommits ? "bad" : null),
    tile("Made in parallel", grouped(data.concurrent), "did not build on all that had arrived"),
    tile("Arrived late", grouped(data.late), "after an op of higher Lamport time"),
    tile("Lamport time", data.ops ? grouped(data.lamport[1]) : "–", data.ops ? "the highest; it counts steps" : ""),
    tile("Check of the log", ...verdict),
  );
}

// A sentence that says how much of the session the diagram shows.
function whatIsShown() {
  if (!data.ops) return "This session holds no ops.";
  if (data.shown.whole) return `All ${pluralize(data.ops, "op")} are in this page. If too many are in view, bars show counts; zoom in to see each op.`;
  return (
    `${grouped(ops.length)} of ${pluralize(data.ops, "op")} are shown one by one: a random sample, and some ops that link lanes, with their parents. ` +
    `The bars count all ops, in bins of ${pluralize(axes.lamport.density.width, "timestamp")} or more.`
  );
}

function aboutCheckpoint() {
  const { problem, late } = data.checkpoint;
  const others = commits.length ? " Each thin line is a commit: by Lamport time at the highest timestamp that it and those before it cover, by wall time when it was made. Where lines would touch, one stands for several." : "";
  if (problem) return el("p", { class: "small bad" }, "The checkpoint can't be used: ", named(problem), others);
  if (!checkpoint) return note(others ? `There is no checkpoint.${others}` : "No checkpoint was made: everything is pending.");
  return note(
    "Dashed line: the last checkpoint, ", named(checkpoint.snapshot), `. It covers what had arrived, up to Lamport ${grouped(checkpoint.lamport)}; `,
    late ? `${pluralize(late, "op")} of no higher timestamp arrived later.` : "no op of a lower timestamp arrived later.",
    ` Ops that are not committed are drawn hollow.${others || " Earlier checkpoints are not recorded."}`,
  );
}

// The glyphs of the kinds that this session has.
function glyphs() {
  const known = data.kinds.names.filter((name) => Object.hasOwn(GLYPHS, name)).map((name) => [GLYPHS[name], name]);
  const others = known.length < data.kinds.names.length ? [[OTHER_GLYPH, "other kinds"]] : [];
  return el("ul", { class: "legend", "aria-label": "Kinds of op" }, [...known, ...others].map(([glyph, name]) => el("li", {}, el("b", { "aria-hidden": "true" }, glyph), name)));
}

function diagramSection() {
  const details = new Details();
  const select = (op) => diagram.select(op);
  const diagram = new Diagram((op) => details.show(op, select), () => painted());
  const opTable = new OpTable(diagram.view, select);
  const made = controls(diagram);
  const painted = () => { made.show(); noteState(diagram.view, opTable); };
  const section = el(
    "section",
    { class: "card", "aria-labelledby": "diagram-title" },
    el("div", { class: "head" }, el("h2", { id: "diagram-title" }, "Who did what, and what it depends on"), el("div", {}, legend(), glyphs())),
    note(whatIsShown()),
    aboutCheckpoint(),
    made.element,
    diagram.element,
    details.element,
    el("div", { class: "more" }, keysHelp()),
    opTable.element,
  );
  return { section, diagram };
}

// What is not committed, and the commits, the newest first, or else the checkpoint; a click picks out the ops of one.
function commitsSection(diagram) {
  const { pending } = data.checkpoint;
  const { all, ops: committed } = data.commits || { all: 0, ops: 0 };
  const by = ({ actors, lanes }) => firstOf(actors, lanes.map(([lane, count]) => [named(data.lanes.names[lane]), ` ${grouped(count)}`]), "actor");
  const listed = [
    ...(pending ? [[pendingOps, "–", pending, ""]] : []),
    ...commits.map((commit) => [commit, commit.when, commit.size, by(commit)]),
    ...(checkpoint && !commits.length ? [[checkpoint, checkpoint.at, checkpoint.ops, ""]] : []),
  ];
  const buttons = listed.map(([mark]) => plainButton(named(mark.id), () => {}));
  const rows = listed.map(([mark, when, size, whose], at) => {
    const click = () => diagram.markOut(diagram.view.mark === mark ? null : mark);
    return el("tr", { click }, el("td", {}, buttons[at]), el("td", {}, named(when)), numberCell(size), textCell(whose));
  });
  diagram.marks = listed.map(([mark]) => mark);
  diagram.onMark = () => buttons.forEach((made, at) => made.setAttribute("aria-pressed", diagram.view.mark === diagram.marks[at]));
  diagram.onMark();
  const count = all > commits.length ? `${grouped(commits.length)} of ${grouped(all)} commits are listed: the newest, and older ones at even distance.` : all ? `${pluralize(all, "commit")}, the newest first.` : "";
  const rest = data.ops - committed;
  const held = all ? ` The commits hold ${pluralize(committed, "op")}; ${rest ? `${grouped(rest)} ${rest === 1 ? "is" : "are"} in none` : "every op is in one"}.` : "";
  return card(
    "What is committed",
    note(`${count}${held} Click a row to pick out its ops; all others turn pale, and the table of ops leaves them out.`.trim()),
    table("Commits", [data.commits ? "Commit" : "Checkpoint", "When (UTC)", "Ops", "By whom"], rows, { id: "commits" }),
  );
}

// The busiest addresses, and those that several actors changed at once. A click on one searches for it.
function addressSection(diagram) {
  const { all, forgot, notCompared, busiest, atOnce, allAtOnce } = data.addresses;
  const row = ([text, , , actor, lamport, time], ...cells) => {
    const find = () => { diagram.change(() => diagram.view.search(`"${text}"`)); diagram.element.scrollIntoView({ block: "nearest" }); };
    const when = ` at Lamport ${grouped(lamport)}${time === null ? "" : `, ${utc(time).slice(0, 19)}`}`;
    return el("tr", {}, el("th", { scope: "row", class: "text" }, plainButton(named(text), find)), cells, textCell(named(actor), el("span", { class: "soft" }, when)));
  };
  const busy = busiest.map((address) => row(address, numberCell(address[1]), numberCell(address[2])));
  const several = atOnce.map((address) => row(address, numberCell(address[6]), textCell(firstOf(address[7], address[8].map(named)))));
  const listed = `${grouped(busiest.length)} of ${forgot ? "more than " : ""}${pluralize(all, "address", "addresses")}. Click one to find its ops.${forgot ? " There are so many that those with the fewest ops were forgotten on the way; a count may be too low." : ""}`;
  const unknown = notCompared ? ` ${pluralize(notCompared, "op")} could not be compared: what they depend on is not in the log, or arrived later.` : "";
  const verdict = !allAtOnce ? "None. " : allAtOnce > atOnce.length ? `${grouped(atOnce.length)} of ${pluralize(allAtOnce, "address", "addresses")}. ` : "";
  return el(
    "div",
    { class: "columns" },
    card("Busiest addresses", note(listed), table("Busiest addresses", ["Address", "Ops", "Actors", "Last changed by"], busy, { id: "busiest" })),
    card(
      "Changed by several at once",
      note(`${verdict}Two actors changed an address at once if each made an op there and neither op depends on the other, directly or through others: neither had seen the other's.${unknown}`),
      ...(allAtOnce ? [table("Addresses changed at once", ["Address", "Ops at once", "By", "Last changed by"], several, { id: "at-once" })] : []),
    ),
  );
}

function activitySection(diagram) {
  const { undated } = data.activity;
  const invalid = undated ? ` ${pluralize(undated, "op")} ${undated === 1 ? "has" : "have"} no valid time.` : "";
  return card("Activity over wall time", note(`By created_at, in UTC. Nothing is ordered by this time. Click a column to see its ops in the diagram.${invalid}`), activity((from, to) => diagram.showTime(from, to)));
}

function shareSections() {
  const actors = data.lanes.names.map((name, lane) => ({ name, parts: data.lanes.byDomain[lane], total: laneOps[lane] }));
  const domains = data.domains.names.map((name, domain) => {
    const total = sum(data.lanes.byDomain.map((counts) => counts[domain]));
    return { name, mark: swatch(domain), parts: [total], total, colour: colourOf(domain) };
  });
  const kinds = data.kinds.names.map((name, kind) => ({ name, mark: el("b", { "aria-hidden": "true" }, glyphOf(name)), parts: [data.kinds.ops[kind]], total: data.kinds.ops[kind], colour: "var(--soft)" }));
  return el(
    "div",
    { class: "columns" },
    card("Share of each actor", shareTable("Actor", actors)),
    el("div", {}, card("Share of each domain", shareTable("Domain", domains)), card("Kinds of op", shareTable("Kind", kinds))),
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
        pair("Not committed (pending)", `${pluralize(pending, "op")}, ${percent(pending, data.ops)} of all`),
        mark ? pair("Arrived after it, not above that timestamp", pluralize(late, "op")) : null,
      ];
  rows.push(pair("Ops without parents", grouped(data.roots)), pair("Ops with two parents or more", grouped(data.joins)), pair("Ops whose parent had not arrived", grouped(data.missingParents)));
  return card("Pending work and causality", el("div", { class: "details" }, el("dl", {}, rows)));
}

function verifySection() {
  const found = data.verify;
  if (!found) return card("What the check found", note("The session was not checked for this report."));
  const looked = `${bytes(found.sizeBytes)}, ${pluralize(found.lines, "line")}, ${pluralize(found.entries, "entry", "entries")} checked: each line, the index against the log, the checkpoint against what it covers.`;
  const all = sum(found.counts.map(([, count]) => count));
  const verdict = !found.ok ? "Damage was found." : all ? "No damage." : "No findings.";
  const tail = found.tailBytes ? ` The last ${pluralize(found.tailBytes, "byte")} are an unfinished line.` : "";
  const rows = found.findings.map(([kind, severity, offset, length, ...texts]) => el("tr", {}, numberCell(offset), numberCell(length), [kind, severity, ...texts].map((text) => textCell(text))));
  const caption = all > rows.length ? `The first ${grouped(rows.length)} of ${pluralize(all, "finding")}; muse op-log verify lists more` : pluralize(all, "finding");
  return card(
    "What the check found",
    note(el("b", { class: found.ok ? "fine" : "bad" }, verdict), " ", looked, tail),
    ...(rows.length ? [table("Findings", ["At byte", "Length", "Finding", "Severity", "Reason", "What to do"], rows, { id: "findings" }, caption)] : []),
  );
}

function footer() {
  return el(
    "footer",
    {},
    el("h2", {}, "How to read this"),
    el(
      "div",
      {},
      el("p", {}, "Each lane is an actor, and each mark is an op; colour and shape show its domain, and if there is room, its glyph the kind. Time increases to the right. By Lamport time, an op is to the right of every op that it depends on, unless its author gave it too low a timestamp, which the check reports. Lines lead from an op to the ops of other lanes that depend on it; between lanes that are no neighbours, only the ends of a line are drawn until its op is selected. Two ops are concurrent if neither depends on the other, directly or through other ops. Neither a lane nor a missing line tells that: within a lane no lines are drawn, and ops may depend on each other through ops of further lanes."),
      el("p", {}, "The height of a bar grows with the logarithm of its count, so that a single op is visible beside thousands. Invisible and control characters in texts are shown as their codes, and long texts are cut and end with an ellipsis."),
      el("p", {}, "This file is self-contained: it loads nothing and sends nothing."),
    ),
  );
}
