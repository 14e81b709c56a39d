// The details of one op, and a table of the ops in view. Both make the diagram accessible without seeing it.

const TABLE_ROWS = 50;

class Details {
  constructor() {
    this.element = el("div", { class: "details", id: "details", "aria-live": "polite" });
    this.show(null);
  }

  show(op, select) {
    if (!op) {
      this.element.replaceChildren(note(ops.length ? "No op is selected. Click one, or press N in the diagram." : "This session holds no ops."));
      return;
    }
    const wide = pair("Content", op.hasText ? named(op.what || "–") : "Its text was left out to keep this file small.");
    wide.className = "wide";
    this.element.replaceChildren(
      el("h2", {}, op.kind ? named(op.kind) : "op", " ", named(op.address)),
      el(
        "dl",
        {},
        wide,
        pair("Actor", named(op.actor)),
        pair("Domain", named(op.domainName)),
        pair("Lamport time", grouped(op.lamport)),
        pair("Arrived", `as number ${grouped(op.arrival)} of ${grouped(data.ops)}`, op.state ? ", " : "", named(op.state)),
        pair("Made at", named(op.createdAt || "–")),
        pair("op_id", named(op.id)),
        op.intent ? pair("Intent", named(op.intent)) : null,
        op.reservation ? pair("Reservation", named(op.reservation)) : null,
        pair(`Depends on (${grouped(op.allParents)})`, this.ops(op.parents, op.allParents, select)),
        pair(`Shown ops that depend on it (${grouped(op.children.length)})`, this.ops(op.children.slice(0, 4), op.children.length, select)),
      ),
    );
  }

  ops(wanted, all, select) {
    if (!all) return "nothing";
    const shown = wanted.map((one) => (typeof one === "string" ? one : plainButton([named(one.actor), ` at ${grouped(one.lamport)}`], () => select(one))));
    return [...shown, all > wanted.length ? `and ${grouped(all - wanted.length)} more` : null].map((one) => one && el("div", {}, one));
  }
}

class OpTable {
  constructor(view, select) {
    Object.assign(this, { view, select, body: el("div") });
    // What it was made of the last time.
    this.shown = "";
    const noun = data.shown.whole ? "ops" : "sampled ops";
    this.element = el("details", { id: "op-table", toggle: () => this.show(0) }, el("summary", {}, `The ${noun} in view as a table`), this.body);
  }

  show(page) {
    if (!this.element.open) return;
    const { view } = this;
    const list = view.picked().filter((op) => view.isInView(op)).sort(view.axis.order);
    const pages = Math.max(Math.ceil(list.length / TABLE_ROWS), 1);
    const turn = (label, to) => button(label, () => this.show(to), { disabled: to < 0 || to >= pages });
    const columns = ["Lamport", "Actor", "Domain", "Op", "Address", "What", "Made at", ...(data.commits ? ["Commit"] : [])];
    const rows = list.slice(page * TABLE_ROWS, (page + 1) * TABLE_ROWS).map((op) => this.row(op));
    const caption = `${pluralize(list.length, "op")} in view${view.isPicking ? " that are picked out" : ""}, in the order of ${view.axis.name}`;
    this.body.replaceChildren(
      table("The ops in view", columns, rows, {}, caption),
      el("div", { class: "more" }, turn("Earlier", page - 1), turn("Later", page + 1), el("span", { class: "small soft" }, `page ${page + 1} of ${pages}`)),
    );
  }

  row(op) {
    const texts = [op.actor, op.domainName, op.kind, op.address, op.what, op.createdAt, ...(data.commits ? [commitIds.get(op.commit) || op.state] : [])];
    return el("tr", {}, el("td", { class: "number" }, plainButton(grouped(op.lamport), () => this.select(op))), texts.map((text) => textCell(text)));
  }
}
