// The table itself: filter, sort, choose two to compare, open, resume, and delete after a question.
import { html, setAttribute, setText } from "../dag/dom";
import { countLine, formatDuration, oneLine, stateWord } from "../dag/format";
import { ACTION_ICONS, STATE_ICONS, TOOL_ICONS, icon } from "../dag/icons";
import { Seam } from "../dag/seam";
import { type RunState, type StepState, CODE_OF_STATE, isOver } from "../dag/state";
import { type Column, type RunRow, type Wish, paramsText, tookOf, wanted, when } from "./row";

const COLUMNS: readonly { column: Column; label: string }[] = [
  { column: "state", label: "State" },
  { column: "id", label: "Run" },
  { column: "flow", label: "Flow" },
  { column: "created", label: "Begun" },
  { column: "took", label: "Took" },
];
const RUN_ICONS: Partial<Record<RunState, string>> = {
  idle: STATE_ICONS.pending,
  created: STATE_ICONS.pending,
  paused: STATE_ICONS.waiting,
  rolling_back: STATE_ICONS.rolled_back,
  // A circle that is broken, for a run whose process is gone.
  crashed: "M8.6 2.5L6.8 6.4L9.2 8.6L7.4 13.4M5.2 3.3a5.5 5.5 0 0 0 0 9.4M10.8 3.3a5.5 5.5 0 0 1 0 9.4",
};
const SEAM_STITCHES = 24;
const CAN_RESUME: ReadonlySet<RunState> = new Set(["failed", "cancelled", "crashed", "paused"]);

export interface TableEvents {
  open(run: string): void;
  compare(run: string, other: string): void;
  act(action: "resume" | "delete", run: string): void;
  refresh(): void;
}

export class RunTable {
  readonly node: HTMLElement;
  private runs: readonly RunRow[] = [];
  private wish: Wish = { text: "", state: "", column: "created", isDescending: true };
  private readonly chosen = new Set<string>();
  private opened: string | null = null;
  private asked: string | null = null;
  private readonly body = html("tbody");
  private readonly heads = new Map<Column, HTMLElement>();
  private readonly said = html("span", { class: "szal-said" });
  private readonly states = html("select", { class: "szal-states", "aria-label": "Show only runs in this state" });
  private readonly compare = html(
    "button",
    { type: "button", class: "szal-button", "data-action": "compare", disabled: true },
    icon(TOOL_ICONS.compare),
    html("span", {}, "Compare two"),
  );
  private readonly empty = html("p", { class: "szal-runs-empty" });

  constructor(
    private readonly events: TableEvents,
    private readonly actions: ReadonlySet<string>,
  ) {
    const filter = html("input", {
      type: "search",
      class: "szal-search",
      placeholder: "Filter runs",
      "aria-label": "Filter runs",
      spellcheck: "false",
      "data-lm-suppress-shortcuts": "true",
    });
    filter.addEventListener("input", () => this.ask({ text: filter.value }));
    filter.addEventListener("keydown", (event) => event.stopPropagation());
    this.states.addEventListener("change", () => this.ask({ state: this.states.value }));
    this.compare.addEventListener("click", () => {
      const [one, other] = [...this.chosen];
      if (one !== undefined && other !== undefined) this.events.compare(one, other);
    });
    const refresh = html(
      "button",
      { type: "button", class: "szal-tool", "data-tool": "refresh", title: "Read anew", "aria-label": "Read anew" },
      icon(STATE_ICONS.retrying),
    );
    refresh.addEventListener("click", () => events.refresh());
    const head = html("tr", {}, html("td", { class: "szal-choose" }));
    for (const { column, label } of COLUMNS) {
      const button = html(
        "button",
        { type: "button", class: "szal-sort", title: `Sort by ${label.toLowerCase()}` },
        label,
      );
      button.addEventListener("click", () => this.sortBy(column));
      const cell = html("th", { scope: "col", class: `is-${column}` }, button);
      this.heads.set(column, cell);
      head.append(cell);
    }
    head.append(html("th", { scope: "col" }, "Steps"), html("td", {}));
    this.node = html(
      "section",
      { class: "szal-runs-part", "aria-label": "Runs" },
      html(
        "div",
        { class: "szal-header" },
        html("div", { class: "szal-headline" }, html("strong", { class: "szal-title" }, "Runs"), this.said),
        html(
          "div",
          { class: "szal-bar" },
          this.compare,
          html("div", { class: "szal-tools" }, filter, this.states, refresh),
        ),
      ),
      html(
        "div",
        { class: "szal-runs-scroll" },
        html("table", { class: "szal-runs" }, html("thead", {}, head), this.body),
        this.empty,
      ),
    );
    this.node.addEventListener("keydown", (event) => {
      // A key typed in the table must not cut or move the notebook's cell.
      if (!event.ctrlKey && !event.metaKey && !event.altKey && (event.key === "Enter" || event.key.length === 1))
        event.stopPropagation();
    });
  }

  update(runs: readonly RunRow[]): void {
    this.runs = runs;
    const known = new Set(runs.map((run) => run.id));
    for (const run of this.chosen) if (!known.has(run)) this.chosen.delete(run);
    this.draw();
  }

  /** Shows which run is open below. */
  open(run: string | null): void {
    this.opened = run;
    this.draw();
  }

  get isGoing(): boolean {
    return this.runs.some((run) => !isOver(run.shown_state));
  }

  private ask(wish: Partial<Wish>): void {
    this.wish = { ...this.wish, ...wish };
    this.draw();
  }

  private sortBy(column: Column): void {
    const isSame = this.wish.column === column;
    this.ask({ column, isDescending: isSame ? !this.wish.isDescending : column === "created" || column === "took" });
  }

  private draw(): void {
    const now = Date.now() / 1000;
    const rows = wanted(this.runs, this.wish, now);
    for (const [column, cell] of this.heads) {
      const order = this.wish.isDescending ? "descending" : "ascending";
      setAttribute(cell, "aria-sort", column === this.wish.column ? order : "none");
    }
    setText(this.said, rows.length === this.runs.length ? `${rows.length}` : `${rows.length} of ${this.runs.length}`);
    this.drawStates();
    const focused = this.focused();
    this.body.replaceChildren(...rows.map((run) => this.row(run, now)));
    if (focused) this.body.querySelector<HTMLElement>(focused)?.focus();
    this.empty.hidden = rows.length > 0;
    setText(this.empty, this.runs.length ? "No run fits the filter." : "There is no run yet: %szal_run begins one.");
    this.compare.disabled = this.chosen.size !== 2;
  }

  /** What has the focus in a row, as a selector that finds it again. */
  private focused(): string {
    const active = document.activeElement;
    if (!active || !this.body.contains(active)) return "";
    const row = active.closest("tr")!.getAttribute("data-run-row")!;
    return `tr[data-run-row="${CSS.escape(row)}"] [data-part="${active.getAttribute("data-part")}"]`;
  }

  private drawStates(): void {
    const states = ["", ...new Set(this.runs.map((run) => run.shown_state as string))].sort();
    if (this.wish.state && !states.includes(this.wish.state)) states.push(this.wish.state);
    if ([...this.states.options].map((option) => option.value).join() === states.join()) return;
    this.states.replaceChildren(
      ...states.map((state) => html("option", { value: state }, state ? stateWord(state) : "any state")),
    );
    this.states.value = this.wish.state;
  }

  private row(run: RunRow, now: number): HTMLElement {
    const choose = html("input", { type: "checkbox", "data-part": "choose", "aria-label": `Compare run ${run.id}` });
    choose.checked = this.chosen.has(run.id);
    choose.disabled = !choose.checked && this.chosen.size >= 2;
    choose.addEventListener("change", () => {
      if (choose.checked) this.chosen.add(run.id);
      else this.chosen.delete(run.id);
      this.draw();
    });
    const open = html(
      "button",
      { type: "button", class: "szal-link", "data-part": "open", title: "Show this run" },
      run.id,
    );
    open.addEventListener("click", () => this.events.open(run.id));
    const took = tookOf(run, now);
    const params = paramsText(run);
    const total = Object.values(run.counts).reduce((sum, count) => sum + count, 0);
    return html(
      "tr",
      { "data-run-row": run.id, "data-state": run.shown_state, class: run.id === this.opened ? "is-selected" : "" },
      html("td", { class: "szal-choose" }, choose),
      html(
        "td",
        { class: "szal-run-state", title: oneLine(run.reason, 300) },
        icon(RUN_ICONS[run.shown_state] ?? STATE_ICONS[run.shown_state as StepState] ?? STATE_ICONS.pending),
        stateWord(run.shown_state),
      ),
      html("td", {}, open),
      html(
        "td",
        { title: oneLine(params, 300) },
        oneLine(run.flow, 40),
        html("span", { class: "szal-quiet" }, ` v${run.version}${params ? `  ${oneLine(params, 40)}` : ""}`),
      ),
      html("td", { title: new Date(run.created * 1000).toISOString() }, when(run.created, now)),
      html("td", {}, took === null ? "" : formatDuration(took)),
      html("td", { class: "szal-run-steps", title: countLine(run.counts, total) }, stitches(run.counts, total)),
      html("td", { class: "szal-run-actions" }, ...this.buttons(run)),
    );
  }

  private buttons(run: RunRow): HTMLElement[] {
    const button = (
      action: "resume" | "delete" | "keep",
      label: string,
      path: string,
      act: () => void,
    ): HTMLElement => {
      const made = html(
        "button",
        {
          type: "button",
          class: "szal-button",
          "data-action": action,
          "data-part": action,
          "aria-label": `${label} run ${run.id}`,
        },
        icon(path),
        html("span", {}, label),
      );
      made.addEventListener("click", act);
      return made;
    };
    const ask = (asked: string | null) => () => {
      this.asked = asked;
      this.draw();
      this.body.querySelector<HTMLElement>(`tr[data-run-row="${CSS.escape(run.id)}"] [data-action="delete"]`)?.focus();
    };
    if (this.asked === run.id) {
      return [
        html("span", { class: "szal-ask", role: "alert" }, "Delete it with its values?"),
        button("delete", "Delete", ACTION_ICONS.reject, () => {
          this.asked = null;
          this.events.act("delete", run.id);
        }),
        button("keep", "Keep", ACTION_ICONS.approve, ask(null)),
      ];
    }
    const found: HTMLElement[] = [];
    if (this.actions.has("resume") && CAN_RESUME.has(run.shown_state))
      found.push(button("resume", "Resume", ACTION_ICONS.resume, () => this.events.act("resume", run.id)));
    if (this.actions.has("delete") && isOver(run.shown_state) && run.shown_state !== "crashed")
      found.push(button("delete", "Delete", TOOL_ICONS.bin, ask(run.id)));
    return found;
  }
}

/** A seam of a run of which only the counts are known: its stitches are shared out by them. */
function stitches(counts: RunRow["counts"], total: number): HTMLElement {
  const seam = new Seam();
  const shown = Math.min(total, SEAM_STITCHES);
  const order: readonly StepState[] = [
    "completed",
    "running",
    "retrying",
    "waiting",
    "failed",
    "cancelled",
    "rolled_back",
    "skipped",
    "pending",
  ];
  let states = "";
  for (const state of order) {
    const count = counts[state] ?? 0;
    states += CODE_OF_STATE[state].repeat(count ? Math.max(1, Math.round((count / total) * shown)) : 0);
  }
  seam.update(states);
  return seam.node;
}
