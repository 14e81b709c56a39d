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
      const hint = ops.length ? "No op is selected. Click one, or press N in the diagram." : "This session holds no ops.";
      this.element.replaceChildren(el("p", { class: "small soft" }, hint));
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
        pair(`Shown ops that depend on it (${grouped(op.children.length)})`, ...this.ops(op.children.slice(0, 4).map(({ number }) => number), op.children.length, select)),
      ),
    );
  }

  ops(wanted, all, select) {
    if (!all) return ["nothing"];
    const shown = wanted.map((one) => {
      if (typeof one !== "number") return el("div", {}, one);
      const other = ops[one];
      return el("div", {}, plainButton(el("span", {}, named(other.actor), ` at ${grouped(other.lamport)}`), () => select(other)));
    });
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
    const turn = (label, by) => {
      const button = el("button", { type: "button", disabled: this.page + by < 0 || this.page + by >= pages }, label);
      button.addEventListener("click", () => this.show(this.page + by));
      return button;
    };
    this.body.replaceChildren(
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The ops in view" }, this.table(rows, list.length)),
      el("div", { class: "more" }, turn("Earlier", -1), turn("Later", 1), el("span", { class: "small soft" }, `page ${this.page + 1} of ${pages}`)),
    );
  }

  table(rows, all) {
    const columns = ["Lamport", "Actor", "Domain", "Op", "Address", "What", "Made at", ...(data.commits ? ["Commit"] : [])];
    return el(
      "table",
      {},
      el("caption", {}, `${pluralize(all, "op")} in view${this.view.isPicking ? " that are picked out" : ""}, in the order of ${this.view.axis.name}`),
      el("thead", {}, el("tr", {}, columns.map((name, at) => el("th", { scope: "col", class: at ? null : "number" }, name)))),
      el("tbody", {}, rows.map((op) => this.row(op))),
    );
  }

  row(op) {
    const button = plainButton(grouped(op.lamport), () => this.select(op), { class: "plain number" });
    const texts = [op.actor, op.domainName, op.kind, op.address, op.what, op.createdAt, ...(data.commits ? [commitIds.get(op.commit) || op.state] : [])];
    return el("tr", {}, el("td", { class: "number" }, button), texts.map((text) => el("td", { class: "text" }, text)));
  }
}
