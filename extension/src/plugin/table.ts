// The runs of a store as a table: filtered, sorted, one of them chosen.
import { html, setAttribute, setText } from "../dag/dom";
import { formatDuration, oneLine, stateWord } from "../dag/format";
import { STATE_ICONS, icon } from "../dag/icons";
import type { RunState, StepState } from "../dag/state";
import { isOver } from "../dag/state";
import type { RunRow } from "./client";

export type Column = "state" | "id" | "flow" | "created" | "took";

export interface Wish {
  text: string;
  state: string;
  column: Column;
  isDescending: boolean;
}

const COLUMNS: readonly { column: Column; label: string; hint: string }[] = [
  { column: "state", label: "", hint: "state" },
  { column: "id", label: "Run", hint: "run" },
  { column: "flow", label: "Flow", hint: "flow" },
  { column: "created", label: "Begun", hint: "time of creation" },
  { column: "took", label: "Took", hint: "duration" },
];

const RUN_ICONS: Partial<Record<RunState, string>> = {
  idle: STATE_ICONS.pending,
  created: STATE_ICONS.pending,
  paused: STATE_ICONS.waiting,
  rolling_back: STATE_ICONS.rolled_back,
  // A circle that is broken, for a run whose process is gone.
  crashed: "M8.6 2.5L6.8 6.4L9.2 8.6L7.4 13.4M5.2 3.3a5.5 5.5 0 0 0 0 9.4M10.8 3.3a5.5 5.5 0 0 1 0 9.4",
};

export const runIcon = (state: RunState): string =>
  RUN_ICONS[state] ?? STATE_ICONS[state as StepState] ?? STATE_ICONS.pending;

export const tookOf = (run: RunRow, now: number): number | null => {
  if (run.started === null) return null;
  if (run.ended !== null) return run.ended - run.started;
  return isOver(run.shown_state) ? null : Math.max(0, now - run.started);
};

const tookText = (run: RunRow, now: number): string => {
  const took = tookOf(run, now);
  return took === null ? "" : formatDuration(took);
};

/** The rows that a person asked for, in the order asked for; newest first among equals. */
export function wanted(runs: readonly RunRow[], wish: Wish, now: number): RunRow[] {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = runs.filter((run) => {
    const text = `${run.id} ${run.flow} ${stateWord(run.shown_state)} ${run.reason} ${paramsText(run)}`.toLowerCase();
    return (!wish.state || run.shown_state === wish.state) && words.every((word) => text.includes(word));
  });
  const key = (run: RunRow): number | string => {
    switch (wish.column) {
      case "created":
        return run.created;
      case "took":
        return tookOf(run, now) ?? -1;
      case "state":
        return run.shown_state;
      default:
        return run[wish.column];
    }
  };
  const sign = wish.isDescending ? -1 : 1;
  return found.sort((a, b) => {
    const [left, right] = [key(a), key(b)];
    return left === right ? b.created - a.created : left < right ? -sign : sign;
  });
}

/** When something was, as a person says it. */
export function ago(at: number, now: number): string {
  const seconds = Math.max(0, now - at);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  const date = new Date(at * 1000);
  const today = new Date(now * 1000);
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === today.toDateString()) return clock;
  const day = date.toLocaleDateString([], { month: "short", day: "numeric" });
  return date.getFullYear() === today.getFullYear() ? day : `${day} ${date.getFullYear()}`;
}

const paramsText = (run: RunRow): string =>
  Object.entries(run.params)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");

export interface TableEvents {
  choose(run: RunRow): void;
  open(run: RunRow): void;
}

export const OPEN_ICON = "M9.5 2.5h4v4M13.5 2.5L8 8M12 9v4.5H2.5V4H7";

export class RunTable {
  readonly node: HTMLElement;
  private runs: readonly RunRow[] = [];
  private chosen: string | null = null;
  private wish: Wish = { text: "", state: "", column: "created", isDescending: true };
  private readonly body = html("tbody");
  private readonly heads = new Map<Column, HTMLElement>();
  private readonly states = html("select", { class: "szal-states", "aria-label": "Show only runs in this state" });
  private readonly empty = html("p", { class: "szal-hint" });

  constructor(private readonly events: TableEvents) {
    const filter = html("input", {
      type: "search",
      class: "szal-filter",
      placeholder: "Filter runs",
      "aria-label": "Filter runs",
      spellcheck: "false",
      "data-lm-suppress-shortcuts": "true",
    });
    filter.addEventListener("input", () => this.ask({ text: filter.value }));
    this.states.addEventListener("change", () => this.ask({ state: this.states.value }));
    const head = html("tr");
    for (const { column, label, hint } of COLUMNS) {
      const button = html(
        "button",
        { type: "button", title: `Sort by ${hint}`, "aria-label": `Sort by ${hint}` },
        label,
      );
      button.addEventListener("click", () => this.sortBy(column));
      const cell = html("th", { scope: "col", class: `szal-${column}` }, button);
      this.heads.set(column, cell);
      head.append(cell);
    }
    const table = html("table", { class: "szal-runs" }, html("thead", {}, head), this.body);
    this.node = html(
      "section",
      { class: "szal-runs-part", "aria-label": "Runs" },
      html("div", { class: "szal-runs-bar" }, html("h3", {}, "Runs"), filter, this.states),
      html("div", { class: "szal-runs-scroll" }, table, this.empty),
    );
    this.draw();
  }

  update(runs: readonly RunRow[], chosen: string | null): void {
    this.runs = runs;
    this.chosen = chosen;
    this.draw();
  }

  /** Moves what changes with the clock alone. */
  tick(): void {
    const now = Date.now() / 1000;
    for (const run of this.runs) {
      const row = this.body.querySelector(`tr[data-id="${run.id}"]`);
      if (!row) continue;
      setText(row.querySelector(".szal-created")!, ago(run.created, now));
      setText(row.querySelector(".szal-took > span")!, tookText(run, now));
    }
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
    this.drawStates();
    for (const [column, cell] of this.heads) {
      const order = this.wish.isDescending ? "descending" : "ascending";
      setAttribute(cell, "aria-sort", column === this.wish.column ? order : "none");
    }
    const rows = wanted(this.runs, this.wish, now);
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

  private drawStates(): void {
    const known = [...new Set(this.runs.map((run) => run.shown_state as string))].sort();
    if (this.wish.state && !known.includes(this.wish.state)) known.push(this.wish.state);
    const options = ["", ...known];
    const there = [...this.states.options].map((option) => option.value);
    if (there.length === options.length && there.every((state, at) => state === options[at])) return;
    this.states.replaceChildren(
      ...options.map((state) => html("option", { value: state }, state ? stateWord(state) : "any state")),
    );
    this.states.value = this.wish.state;
  }

  private row(run: RunRow, now: number): HTMLElement {
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
      icon(OPEN_ICON),
    );
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
        counts(run),
      ),
      html("td", { class: "szal-flow" }, oneLine(run.flow, 60)),
      html(
        "td",
        { class: "szal-created", title: new Date(run.created * 1000).toLocaleString() },
        ago(run.created, now),
      ),
      html("td", { class: "szal-took" }, html("span", {}, tookText(run, now)), open),
    );
    row.addEventListener("click", (event) => {
      if (open.contains(event.target as Node)) this.events.open(run);
      else this.events.choose(run);
    });
    row.addEventListener("dblclick", () => this.events.open(run));
    return row;
  }
}

const SHOWN: readonly StepState[] = [
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

/** How far a run came: a thread in the colours of its steps' states. The table's words and icons say it as well. */
function counts(run: RunRow): HTMLElement {
  const thread = html("span", { class: "szal-thread", "aria-hidden": "true" });
  for (const state of SHOWN) {
    const count = run.counts[state];
    if (count) thread.append(html("span", { "data-state": state, style: `flex-grow:${count}` }));
  }
  return thread;
}
