// Which rows of a table of runs a person sees and in what order, with the controls that say so.
import { html, setAttribute } from "../dag/dom";
import { stateWord } from "../dag/format";
import { type Column, type RunRow, type Wish, wanted } from "./row";

export interface Heading {
  column: Column;
  label: string;
  /** What sorting by it goes by, where the label does not say it. */
  hint?: string;
}

export class Sieve {
  readonly filter = html("input", {
    type: "search",
    class: "szal-search",
    placeholder: "Filter runs",
    "aria-label": "Filter runs",
    spellcheck: "false",
    "data-lm-suppress-shortcuts": "true",
  });
  readonly states = html("select", { class: "szal-states", "aria-label": "Show only runs in this state" });
  readonly heads: readonly HTMLElement[];
  private wish: Wish = { text: "", state: "", column: "created", isDescending: true };
  private readonly headOf = new Map<Column, HTMLElement>();

  constructor(
    headings: readonly Heading[],
    private readonly changed: () => void,
  ) {
    this.filter.addEventListener("input", () => this.ask({ text: this.filter.value }));
    // Keys typed here are text, neither the picture's nor the notebook's shortcuts.
    this.filter.addEventListener("keydown", (event) => event.stopPropagation());
    this.states.addEventListener("change", () => this.ask({ state: this.states.value }));
    this.heads = headings.map((heading) => this.head(heading));
  }

  /** The rows to show of `runs`; the controls show what there is to choose from. */
  sift<Row extends RunRow>(runs: readonly Row[], now: number): Row[] {
    const order = this.wish.isDescending ? "descending" : "ascending";
    for (const [column, head] of this.headOf)
      setAttribute(head, "aria-sort", column === this.wish.column ? order : "none");
    this.drawStates(runs);
    return wanted(runs, this.wish, now);
  }

  private head({ column, label, hint = label.toLowerCase() }: Heading): HTMLElement {
    const button = html(
      "button",
      { type: "button", class: "szal-sort", title: `Sort by ${hint}`, "aria-label": `Sort by ${hint}` },
      label,
    );
    button.addEventListener("click", () => this.sortBy(column));
    const head = html("th", { scope: "col", class: `is-${column}` }, button);
    this.headOf.set(column, head);
    return head;
  }

  private ask(wish: Partial<Wish>): void {
    this.wish = { ...this.wish, ...wish };
    this.changed();
  }

  private sortBy(column: Column): void {
    const isSame = this.wish.column === column;
    this.ask({ column, isDescending: isSame ? !this.wish.isDescending : column === "created" || column === "took" });
  }

  private drawStates(runs: readonly RunRow[]): void {
    const known = new Set(runs.map((run) => run.shown_state as string));
    if (this.wish.state) known.add(this.wish.state);
    const states = ["", ...[...known].sort()];
    if ([...this.states.options].map((option) => option.value).join() === states.join()) return;
    this.states.replaceChildren(
      ...states.map((state) => html("option", { value: state }, state ? stateWord(state) : "any state")),
    );
    this.states.value = this.wish.state;
  }
}
