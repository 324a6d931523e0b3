// The runs of a notebook's store in the panel: as many columns as there is room for, one run chosen.
import { html, setText } from "../dag/dom";
import { oneLine, stateWord } from "../dag/format";
import { TOOL_ICONS, icon, runIcon } from "../dag/icons";
import { isOver } from "../dag/state";
import { paramsText, tookText, when } from "../runs/row";
import { type Heading, Sieve } from "../runs/sieve";
import { stitches } from "../runs/stitches";
import type { StoredRun } from "./client";

const HEADINGS: readonly Heading[] = [
  { column: "state", label: "", hint: "state" },
  { column: "id", label: "Run" },
  { column: "flow", label: "Flow" },
  { column: "created", label: "Begun" },
  { column: "took", label: "Took" },
];

export interface TableEvents {
  choose(run: StoredRun): void;
  open(run: StoredRun): void;
  delete(run: StoredRun): void;
}

export class RunTable {
  readonly node: HTMLElement;
  private runs: readonly StoredRun[] = [];
  private chosen: string | null = null;
  private asked: string | null = null;
  private readonly sieve = new Sieve(HEADINGS, () => this.draw());
  private readonly body = html("tbody");
  private readonly empty = html("p", { class: "szal-hint" });

  constructor(private readonly events: TableEvents) {
    const table = html(
      "table",
      { class: "szal-runs" },
      html("thead", {}, html("tr", {}, ...this.sieve.heads)),
      this.body,
    );
    this.node = html(
      "section",
      { class: "szal-runs-part", "aria-label": "Runs" },
      html("div", { class: "szal-runs-bar" }, html("h2", {}, "Runs"), this.sieve.filter, this.sieve.states),
      html("div", { class: "szal-runs-scroll" }, table, this.empty),
    );
    this.draw();
  }

  update(runs: readonly StoredRun[], chosen: string | null): void {
    this.runs = runs;
    this.chosen = chosen;
    this.draw();
  }

  /** Moves what changes with the clock alone. */
  tick(): void {
    const now = Date.now() / 1000;
    for (const run of this.runs) {
      const row = this.body.querySelector(`tr[data-id="${run.id}"]`);
      if (!row || run.id === this.asked) continue;
      setText(row.querySelector(".is-created")!, when(run.created, now));
      setText(row.querySelector(".is-took > span")!, tookText(run, now));
    }
  }

  private draw(): void {
    const now = Date.now() / 1000;
    const rows = this.sieve.sift(this.runs, now);
    const focused = this.body.contains(document.activeElement)
      ? document.activeElement!.closest("tr")?.getAttribute("data-id")
      : null;
    const isOneFlow = new Set(this.runs.map((run) => run.flow)).size < 2;
    this.node.classList.toggle("is-one-flow", isOneFlow);
    this.body.replaceChildren(...rows.map((run) => this.row(run, now)));
    if (focused) this.body.querySelector<HTMLElement>(`tr[data-id="${focused}"] button`)?.focus();
    this.empty.hidden = rows.length > 0;
    this.empty.textContent = this.runs.length ? "No run fits the filter." : "No runs yet.";
  }

  private askAbout(run: string | null): void {
    this.asked = run;
    this.draw();
    this.body.querySelector<HTMLElement>('[data-action="delete"]')?.focus();
  }

  /** Stands in the place of the row that somebody wants deleted. */
  private question(run: StoredRun, mark: HTMLElement): HTMLElement {
    const button = (action: string, label: string, act: () => void): HTMLElement => {
      const made = html("button", { type: "button", class: "szal-button", "data-action": action }, label);
      made.addEventListener("click", act);
      return made;
    };
    return html(
      "tr",
      { "data-id": run.id, "data-state": run.shown_state, class: "is-asked" },
      html("td", {}, mark),
      html(
        "td",
        { colspan: HEADINGS.length - 2, role: "alert" },
        html("span", { class: "szal-ask" }, "Delete with its values?"),
        button("delete", "Delete", () => {
          this.askAbout(null);
          this.events.delete(run);
        }),
        button("keep", "Keep", () => this.askAbout(null)),
      ),
      // Where the flow has no column of its own the question must not make one.
      html("td", { class: "is-flow" }),
    );
  }

  private row(run: StoredRun, now: number): HTMLElement {
    const word = stateWord(run.shown_state);
    const pick = html(
      "button",
      { type: "button", class: "szal-pick", "aria-label": `Run ${run.id} of ${run.flow}, ${word}` },
      run.id.slice(0, 8),
    );
    const open = html(
      "button",
      {
        type: "button",
        class: "szal-tool szal-open",
        title: "Open in a tab",
        "aria-label": `Open run ${run.id} in a tab`,
      },
      icon(TOOL_ICONS.open),
    );
    const bin = html(
      "button",
      { type: "button", class: "szal-tool szal-bin", title: "Delete", "aria-label": `Delete run ${run.id}` },
      icon(TOOL_ICONS.bin),
    );
    // A crashed run can be resumed, so it is not deleted by a click.
    bin.hidden = !isOver(run.shown_state) || run.shown_state === "crashed";
    const mark = html(
      "span",
      { class: "szal-mark", title: word, role: "img", "aria-label": word },
      icon(runIcon(run.shown_state)),
    );
    const row = html(
      "tr",
      {
        "data-id": run.id,
        "data-state": run.shown_state,
        "aria-selected": String(run.id === this.chosen),
        title: [run.reason, paramsText(run)]
          .filter(Boolean)
          .map((text) => oneLine(text, 300))
          .join("\n"),
      },
      html("td", { class: "szal-state-cell" }, mark),
      html(
        "td",
        { class: "szal-id" },
        pick,
        html("span", { class: "szal-of", "aria-hidden": "true" }, oneLine(run.flow, 40)),
        stitches(run.counts),
      ),
      html("td", { class: "is-flow" }, oneLine(run.flow, 60)),
      html("td", { class: "is-created", title: new Date(run.created * 1000).toLocaleString() }, when(run.created, now)),
      html(
        "td",
        { class: "is-took" },
        html("span", {}, tookText(run, now)),
        html("span", { class: "szal-row-tools" }, bin, open),
      ),
    );
    row.addEventListener("click", (event) => {
      if (open.contains(event.target as Node)) this.events.open(run);
      else if (bin.contains(event.target as Node)) this.askAbout(run.id);
      else this.events.choose(run);
    });
    row.addEventListener("dblclick", () => this.events.open(run));
    return this.asked === run.id ? this.question(run, mark) : row;
  }
}
