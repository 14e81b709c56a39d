// The details of one op, and a table of the ops in view. Both make the diagram accessible without seeing it.

const TABLE_ROWS = 50;

function pair(term, ...values) {
  return el("div", {}, el("dt", {}, term), el("dd", {}, ...values));
}

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
        pair(`Depends on (${grouped(op.allParents)})`, ...this.ops(op.parents, op.allParents, select)),
        pair(`Shown ops that depend on it (${grouped(op.children.length)})`, ...this.ops(op.children.slice(0, 4), op.children.length, select)),
      ),
    );
  }

  ops(wanted, all, select) {
    if (!all) return ["nothing"];
    const link = (other) => plainButton(el("span", {}, named(other.actor), ` at ${grouped(other.lamport)}`), () => select(other));
    const shown = wanted.map((one) => el("div", {}, typeof one === "string" ? one : link(one)));
    return all > wanted.length ? [...shown, el("div", {}, `and ${grouped(all - wanted.length)} more`)] : shown;
  }
}

class OpTable {
  constructor(view, select) {
    this.view = view;
    this.select = select;
    this.page = 0;
    this.body = el("div");
    // What it was made of the last time.
    this.shown = "";
    const noun = data.shown.whole ? "ops" : "sampled ops";
    this.element = el("details", { id: "op-table" }, el("summary", {}, `The ${noun} in view as a table`), this.body);
    this.element.addEventListener("toggle", () => this.show(0));
  }

  show(page) {
    if (!this.element.open) return;
    const list = this.view.picked().filter((op) => this.view.isInView(op)).sort(this.view.axis.order);
    const pages = Math.max(Math.ceil(list.length / TABLE_ROWS), 1);
    this.page = Math.min(Math.max(page, 0), pages - 1);
    const rows = list.slice(this.page * TABLE_ROWS, (this.page + 1) * TABLE_ROWS);
    const turn = (label, by) => button(label, () => this.show(this.page + by), { disabled: this.page + by < 0 || this.page + by >= pages });
    const columns = [numberHead("Lamport"), "Actor", "Domain", "Op", "Address", "What", "Made at", ...(data.commits ? ["Commit"] : [])];
    const caption = `${pluralize(list.length, "op")} in view${this.view.isPicking ? " that are picked out" : ""}, in the order of ${this.view.axis.name}`;
    this.body.replaceChildren(
      table("The ops in view", columns, rows.map((op) => this.row(op)), { caption }),
      el("div", { class: "more" }, turn("Earlier", -1), turn("Later", 1), el("span", { class: "small soft" }, `page ${this.page + 1} of ${pages}`)),
    );
  }

  row(op) {
    const select = plainButton(grouped(op.lamport), () => this.select(op), { class: "plain number" });
    const texts = [op.actor, op.domainName, op.kind, op.address, op.what, op.createdAt, ...(data.commits ? [commitIds.get(op.commit) || op.state] : [])];
    return el("tr", {}, el("td", { class: "number" }, select), texts.map((text) => textCell(text)));
  }
}
