// All about one step, beside the drawing: what it gave, its code, what it printed, its attempts, and why it is there.
import { ansiText, narrowTraceback } from "./ansi";
import { html, setAttribute, setText } from "./dom";
import { factLine, formatDuration, formatValue, oneLine, stateWord, timeTold } from "./format";
import { ACTION_ICONS, STATE_ICONS, TOOL_ICONS, icon, setIcon } from "./icons";
import { Log, outputsAt } from "./log";
import { richOutput } from "./output";
import { pythonCode } from "./python";
import { heading, note, table } from "./prose";
import {
  type Action,
  type Attempt,
  type Details,
  type Graph,
  type LogPiece,
  type Output,
  type Picture,
  type Run,
  type StepState,
  stateOf,
  stepAllows,
} from "./state";
import { why } from "./why";

const TABS = ["Result", "Code", "Log", "Attempts", "Why"] as const;
export type Tab = (typeof TABS)[number];

const STEP_ACTIONS: readonly { action: Action; label: string; hint?: string }[] = [
  { action: "approve", label: "Approve" },
  { action: "reject", label: "Reject" },
  { action: "retry", label: "Retry" },
  { action: "skip", label: "Skip", hint: "Go on without this step; what needs its values is skipped as well" },
  { action: "fork", label: "Run from here", hint: "A new run that keeps what came before this step" },
  { action: "only", label: "Only this", hint: "A new run of this step and what it needs" },
];

export interface PanelEvents {
  act(action: Action, node: number): void;
  select(node: number): void;
  close(): void;
}

export class Panel {
  readonly node: HTMLElement;
  private readonly mark = icon(STATE_ICONS.pending);
  private readonly name = html("h2", { class: "szal-panel-name" });
  private readonly fact = html("p", { class: "szal-panel-fact" });
  private readonly buttons = new Map<Action, HTMLButtonElement>();
  private readonly tabs = new Map<Tab, HTMLButtonElement>();
  private readonly body = html("div", { class: "szal-panel-body", role: "tabpanel", tabindex: 0 });
  /** The moment that is shown, if it is not the present: what details tell of later is not shown. */
  past: number | null = null;
  /** The run as it is now: from a moment of the past too, what is asked for happens in the present. */
  present: Run | null = null;
  private readonly log = new Log();
  private pieces: readonly LogPiece[] | null = null;
  tab: Tab = "Result";
  step = -1;
  private picture: Picture | null = null;
  private newest: Details | null = null;
  private shown: unknown[] = [];

  constructor(
    private readonly events: PanelEvents,
    actions: ReadonlySet<Action>,
  ) {
    const close = html(
      "button",
      { type: "button", class: "szal-tool", title: "Close (Esc)", "aria-label": "Close" },
      icon(TOOL_ICONS.close),
    );
    close.addEventListener("click", () => events.close());
    const buttons = html("div", { class: "szal-actions", role: "group", "aria-label": "Step" });
    for (const { action, label, hint } of STEP_ACTIONS) {
      if (!actions.has(action)) continue;
      const button = html(
        "button",
        { type: "button", class: "szal-button", "data-action": action, title: hint, hidden: true },
        icon(ACTION_ICONS[action]),
        html("span", {}, label),
      );
      button.addEventListener("click", () => events.act(action, this.step));
      this.buttons.set(action, button);
      buttons.append(button);
    }
    const tabs = html("div", { class: "szal-tabs", role: "tablist", "aria-label": "About the step" });
    for (const tab of TABS) {
      const button = html(
        "button",
        { type: "button", class: "szal-tab", role: "tab", "data-tab": tab.toLowerCase() },
        tab,
      );
      button.addEventListener("click", () => this.turnTo(tab));
      this.tabs.set(tab, button);
      tabs.append(button);
    }
    tabs.addEventListener("keydown", (event) => this.tabKey(event));
    this.node = html(
      "aside",
      { class: "szal-panel", "aria-label": "Step", hidden: true },
      html("header", { class: "szal-panel-head" }, this.mark, html("div", {}, this.name, this.fact), close),
      buttons,
      tabs,
      this.body,
    );
  }

  get isOpen(): boolean {
    return this.step >= 0;
  }

  get lacksLog(): boolean {
    return this.pieces === null;
  }

  open(step: number, picture: Picture, now: number): void {
    const isOther = step !== this.step;
    this.step = step;
    if (isOther) this.forget();
    this.node.hidden = false;
    this.shown = [];
    this.update(picture, now);
    if (isOther) this.body.scrollTop = 0;
  }

  close(): void {
    this.step = -1;
    this.forget();
    this.node.hidden = true;
  }

  private forget(): void {
    this.newest = this.pieces = null;
    this.log.restart();
  }

  setDetails(details: Details): void {
    const node = this.picture?.graph.nodes[this.step];
    if (node?.name !== details.step) return;
    this.newest = details;
    this.fill();
  }

  /** All that the step showed with the moments of it, for the past. */
  setLog(step: string, pieces: readonly LogPiece[]): void {
    if (this.picture?.graph.nodes[this.step]?.name !== step) return;
    this.pieces = pieces;
    this.fill();
  }

  update(picture: Picture, now: number): void {
    this.picture = picture;
    const node = picture.graph.nodes[this.step];
    if (!node) return;
    const state = stateOf(picture.run, this.step);
    setText(this.name, oneLine(node.name, 120));
    setAttribute(this.node, "data-state", state);
    setAttribute(this.node, "data-for", node.name);
    setIcon(this.mark, STATE_ICONS[state]);
    this.tick(now);
    const run = this.present ?? picture.run;
    for (const [action, button] of this.buttons)
      button.hidden = !stepAllows(action, run, stateOf(run, this.step)) || (this.past !== null && action !== "fork");
    const fork = this.buttons.get("fork")?.querySelector("span");
    if (fork) setText(fork, this.past === null ? "Run from here" : "Fork from here");
    this.fill();
  }

  tick(now: number): void {
    if (!this.picture || this.step < 0) return;
    const state = stateOf(this.picture.run, this.step);
    const facts = this.picture.facts[this.step] ?? {};
    setText(
      this.fact,
      [factLine(state, facts), timeTold(this.picture.run, state, facts, now)].filter(Boolean).join(" · "),
    );
  }

  /** What is known of the present; null in the past. */
  private get details(): Details | null {
    return this.past === null ? this.newest : null;
  }

  private get outputs(): readonly Output[] | null {
    if (this.past === null) return this.newest?.outputs ?? null;
    return this.pieces && outputsAt(this.pieces, this.past);
  }

  private get tries(): readonly Attempt[] | null {
    const { past } = this;
    if (past === null || !this.newest) return this.newest?.attempts ?? null;
    return this.newest.attempts
      .filter((attempt) => attempt.started <= past)
      .map((attempt) =>
        attempt.ended !== null && attempt.ended <= past
          ? attempt
          : { ...attempt, state: "running", ended: null, error: null },
      );
  }

  button(action: Action): HTMLButtonElement | undefined {
    return this.buttons.get(action);
  }

  private turnTo(tab: Tab): void {
    this.tab = tab;
    this.fill();
    this.body.scrollTop = 0;
  }

  private tabKey(event: KeyboardEvent): void {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = TABS[(TABS.indexOf(this.tab) + step + TABS.length) % TABS.length]!;
    this.turnTo(next);
    this.tabs.get(next)?.focus();
  }

  /** The page's colours have changed, which what stands in a frame does not see. */
  redraw(): void {
    this.shown = [];
    if (this.isOpen) this.fill();
  }

  private fill(): void {
    const { picture } = this;
    if (!picture) return;
    for (const [tab, button] of this.tabs) {
      setAttribute(button, "aria-selected", String(tab === this.tab));
      setAttribute(button, "tabindex", tab === this.tab ? "0" : "-1");
    }
    // Rebuilding what did not change would take the reader's selection and place away.
    const state = stateOf(picture.run, this.step);
    const shown = [
      this.tab,
      this.step,
      state,
      picture.facts[this.step],
      this.newest,
      this.pieces,
      this.past,
      picture.graph,
    ];
    if (shown.every((part, at) => part === this.shown[at]) && shown.length === this.shown.length) return;
    this.shown = shown;
    const parts = this.content(picture, state);
    if (parts.length === 1 && parts[0] === this.body.firstChild) return;
    this.body.replaceChildren(...parts);
    if (this.tab === "Log") this.log.shown();
  }

  private content(picture: Picture, state: StepState): Node[] {
    switch (this.tab) {
      case "Result":
        return this.result(picture, state);
      case "Code":
        return [
          pythonCode(
            this.newest?.source ?? picture.graph.nodes[this.step]!.source ?? "",
            this.details?.error?.line ?? null,
          ),
          ...this.flags(picture.graph),
        ];
      case "Log":
        return this.logged();
      case "Attempts":
        return this.attempts();
      case "Why":
        return why(picture.graph, this.step, this.events.select);
    }
  }

  private result(picture: Picture, state: StepState): Node[] {
    const facts = picture.facts[this.step] ?? {};
    const node = picture.graph.nodes[this.step]!;
    const parts: Node[] = [];
    if (state === "waiting") parts.push(note(facts.reason || node.approve || "This step waits for a person."));
    else if (facts.reason) parts.push(note(facts.reason));
    if (facts.rebuilds)
      parts.push(note("Rebuilds on resume: it gives a value that cannot be stored, and runs again if that is needed."));
    const error = this.details?.error;
    if (error)
      parts.push(
        html(
          "pre",
          { class: "szal-traceback", tabindex: 0 },
          ansiText(narrowTraceback(error.traceback) || `${error.type}: ${error.message}`),
        ),
      );
    else if (facts.error) parts.push(html("pre", { class: "szal-traceback", tabindex: 0 }, facts.error));
    if (facts.rollback_error) {
      const undoing = this.details?.rollback_error;
      parts.push(
        note("It could not be undone."),
        html(
          "pre",
          { class: "szal-traceback", tabindex: 0 },
          ansiText(narrowTraceback(undoing?.traceback ?? "") || facts.rollback_error),
        ),
      );
    }
    const rich = (this.outputs ?? []).filter((output) => output.type !== "stream" && output.type !== "error");
    const theme = this.node.closest<HTMLElement>("[data-theme]")?.dataset["theme"];
    parts.push(...rich.map((output) => richOutput((output as { data: Record<string, unknown> }).data, theme)));
    const values = this.details?.values ?? facts.values ?? [];
    if (values.length) {
      parts.push(
        heading("Gives"),
        table(
          values.map((value) => [
            value.name === "_" ? "last value" : value.name,
            joined(formatValue(value), value.live ? `live: ${value.live}` : value.summary),
          ]),
        ),
      );
    } else if (node.gives.length)
      parts.push(heading("Gives"), html("p", { class: "szal-quiet" }, oneLine(node.gives.join(", "), 400)));
    const inputs: Details["inputs"] = this.details?.inputs ?? node.reads;
    if (inputs.length) {
      parts.push(
        heading("Reads"),
        table(
          inputs.map((read) => [
            read.name,
            joined(valueOf(read), read.step ? `from ${read.step}` : "from the notebook"),
          ]),
        ),
      );
    }
    if (!parts.length) parts.push(html("p", { class: "szal-quiet" }, "It reads and gives no names."));
    return parts;
  }

  private flags(graph: Graph): Node[] {
    const node = graph.nodes[this.step]!;
    const said = [
      ...(node.flags ?? []),
      ...(node.tags ?? []).map((tag) => `tag ${tag}`),
      ...(node.is_main_thread ? ["runs on the main thread"] : []),
      ...(node.is_async ? ["awaits on the kernel's loop"] : []),
    ];
    return said.length
      ? [html("ul", { class: "szal-flags" }, ...said.map((flag) => html("li", {}, oneLine(flag, 120))))]
      : [];
  }

  private logged(): Node[] {
    const { outputs } = this;
    if (!outputs?.some((output) => output.type === "stream"))
      return [html("p", { class: "szal-quiet" }, outputs ? "Nothing was printed." : "The log comes from the kernel.")];
    this.log.update(outputs);
    return [this.log.node];
  }

  private attempts(): Node[] {
    const { tries } = this;
    if (!tries?.length)
      return [html("p", { class: "szal-quiet" }, tries ? "No attempt yet." : "The attempts come from the kernel.")];
    return [
      ...elementList(this.details, this.picture?.facts[this.step]?.total),
      table(
        tries.map((attempt) => [
          `${attempt.number}`,
          `${stateWord(attempt.state)}${attempt.ended === null ? "" : ` · ${formatDuration(attempt.ended - attempt.started)}`}`,
          attempt.error ?? new Date(attempt.started * 1000).toLocaleTimeString(),
        ]),
      ),
    ];
  }
}

/** How the elements of a mapped step ended, those that failed first. */
function elementList(details: Details | null, total: number | undefined): Node[] {
  const elements = details?.elements;
  if (!elements) return [];
  const { ended, failed, shown } = elements;
  const said = [`${ended}${total === undefined ? "" : ` of ${total}`} elements ended`];
  if (failed) said.push(`${failed} failed`);
  if (shown.length < ended) said.push(`${shown.length} shown`);
  const rows = shown.map(({ position, attempts, error, gave }) => [
    `${position}`,
    [error ? "failed" : "completed", attempts > 1 ? `try ${attempts}` : ""].filter(Boolean).join(" · "),
    error || gave,
  ]);
  return [
    heading(said.join(" · ")),
    html("div", { class: "szal-elements", tabindex: 0, role: "region", "aria-label": "Elements" }, table(rows)),
    heading("Attempts of the step"),
  ];
}

const valueOf = (read: Details["inputs"][number]): string => (read.value ? formatValue(read.value) : "");
const joined = (...said: (string | undefined)[]): string => said.filter(Boolean).join(" · ");
