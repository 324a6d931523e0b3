// The table itself: filter, sort, choose two to compare, open, resume, and delete after a question.
import { html, setText } from "../dag/dom";
import { countLine, oneLine, stateWord } from "../dag/format";
import { ACTION_ICONS, STATE_ICONS, TOOL_ICONS, icon, runIcon } from "../dag/icons";
import { type RunState, isOver } from "../dag/state";
import { type RunRow, paramsText, tookText, when } from "./row";
import { type Heading, Sieve } from "./sieve";
import { stitches } from "./stitches";

const HEADINGS: readonly Heading[] = [
  { column: "state", label: "State" },
  { column: "id", label: "Run" },
  { column: "flow", label: "Flow" },
  { column: "created", label: "Begun" },
  { column: "took", label: "Took" },
];
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
  private readonly sieve = new Sieve(HEADINGS, () => this.draw());
  private readonly chosen = new Set<string>();
  private opened: string | null = null;
  private asked: string | null = null;
  private readonly body = html("tbody");
  private readonly said = html("span", { class: "szal-said" });
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
    const head = html("tr", {}, html("td", { class: "szal-choose" }), ...this.sieve.heads);
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
          { class: "szal-buttons" },
          this.compare,
          html("div", { class: "szal-tools" }, this.sieve.filter, this.sieve.states, refresh),
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

  private draw(): void {
    const now = Date.now() / 1000;
    const rows = this.sieve.sift(this.runs, now);
    setText(this.said, rows.length === this.runs.length ? `${rows.length}` : `${rows.length} of ${this.runs.length}`);
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
    const params = paramsText(run);
    const total = Object.values(run.counts).reduce((sum, count) => sum + count, 0);
    return html(
      "tr",
      { "data-run-row": run.id, "data-state": run.shown_state, class: run.id === this.opened ? "is-selected" : "" },
      html("td", { class: "szal-choose" }, choose),
      html(
        "td",
        { class: "szal-run-state", title: oneLine(run.reason, 300) },
        icon(runIcon(run.shown_state)),
        stateWord(run.shown_state),
      ),
      html("td", {}, open),
      html(
        "td",
        { title: oneLine(params, 300) },
        oneLine(run.flow, 40),
        html("span", { class: "szal-quiet" }, ` v${run.version}${params ? `  ${oneLine(params, 40)}` : ""}`),
      ),
      html("td", { title: new Date(run.created * 1000).toLocaleString() }, when(run.created, now)),
      html("td", {}, tookText(run, now)),
      html("td", { class: "szal-run-steps", title: countLine(run.counts, total) }, stitches(run.counts)),
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
    if (this.actions.has("resume") && CAN_RESUME.has(run.shown_state) && !run.doubted)
      found.push(button("resume", "Resume", ACTION_ICONS.resume, () => this.events.act("resume", run.id)));
    if (this.actions.has("delete") && isOver(run.shown_state) && run.shown_state !== "crashed")
      found.push(button("delete", "Delete", TOOL_ICONS.bin, ask(run.id)));
    return found;
  }
}
