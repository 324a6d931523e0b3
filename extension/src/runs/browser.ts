// The table of runs with what is opened below it: one run with its history, or two compared. Its host asks the kernel.
import { html, setText } from "../dag/dom";
import type { Frame } from "../dag/history";
import type { TimedAttempt } from "../dag/lanes";
import type { Details, Facts, Graph, LogPiece, Run } from "../dag/state";
import { isOver } from "../dag/state";
import { css } from "../dag/style";
import { followTheme } from "../dag/theme";
import { DagView } from "../dag/view";
import { type Comparison, differences } from "./compare";
import type { RunRow } from "./row";
import runsCss from "./runs.css";
import { RunTable } from "./table";

const FOLLOW_MS = 2000;

export interface Opened {
  run: string;
  view: { graph: Graph; run: Run & { steps: Record<string, Facts> } };
  attempts: TimedAttempt[];
  frames: Frame[];
}

export interface RunsHost {
  ask(request: { action: string; run?: string; other?: string; step?: string }): void;
}

export class RunBrowser {
  readonly node: HTMLElement;
  private readonly table: RunTable;
  private readonly message = html("p", { class: "szal-message", role: "alert", hidden: true });
  private readonly place = html("div", { class: "szal-runs-opened" });
  private readonly views = new Map<string, DagView>();
  private wanted: string | null = null;
  private stop: () => void = () => undefined;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    private readonly host: RunsHost,
    actions: Iterable<string>,
  ) {
    this.table = new RunTable(
      {
        open: (run) => {
          this.wanted = run;
          this.ask({ action: "open", run });
        },
        compare: (run, other) => {
          this.wanted = null;
          this.ask({ action: "compare", run, other });
        },
        act: (action, run) => this.ask({ action, run }),
        refresh: () => this.ask({ action: "refresh" }),
      },
      new Set(actions),
    );
    this.node = html(
      "div",
      { class: "szal-dag szal-run-browser", role: "region", "aria-label": "Runs of the store" },
      html("style", {}, css + runsCss),
      this.table.node,
      this.message,
      this.place,
    );
    this.timer = setInterval(() => this.follow(), FOLLOW_MS);
  }

  attached(): void {
    this.stop = followTheme(this.node);
  }

  update(rows: readonly RunRow[]): void {
    this.table.update(rows);
    const known = new Set(rows.map((row) => row.id));
    if ([...this.views.keys()].some((run) => !known.has(run))) this.close();
  }

  opened(opened: Opened): void {
    if (this.wanted !== opened.run) return;
    const view = this.views.size === 1 ? this.views.get(opened.run) : undefined;
    if (view) this.show(view, opened);
    else {
      this.close();
      this.place.replaceChildren();
      this.show(this.add(opened.run, this.place), opened);
      this.views.get(opened.run)!.showTimeline(true);
      this.table.open(opened.run);
    }
  }

  compared(comparison: Comparison, opened: readonly Opened[]): void {
    this.close();
    const sides = html("div", { class: "szal-sides" });
    this.place.replaceChildren(sides, differences(comparison));
    const differing = new Set(comparison.steps.flatMap((step) => (step.differs.length ? [step.name] : [])));
    for (const one of opened) {
      const side = html("div", {}, html("h2", {}, `Run ${one.run}`));
      sides.append(side);
      const view = this.add(one.run, side);
      this.show(view, one);
      view.markDifferent(differing);
    }
  }

  details(run: string, details: Details): void {
    this.views.get(run)?.setDetails(details);
  }

  log(run: string, step: string, pieces: readonly LogPiece[]): void {
    this.views.get(run)?.setLog(step, pieces);
  }

  say(text: string): void {
    setText(this.message, text.slice(0, 1000));
    this.message.hidden = !text;
  }

  dispose(): void {
    clearInterval(this.timer);
    this.stop();
    this.close();
    this.node.remove();
  }

  private ask(request: Parameters<RunsHost["ask"]>[0]): void {
    this.say("");
    this.host.ask(request);
  }

  private readonly told = new Map<string, Opened>();

  private add(run: string, place: HTMLElement): DagView {
    const view: DagView = new DagView({
      send: () => 0,
      askDetails: (step) => this.host.ask({ action: "details", run, step }),
      askLog: (step) => this.host.ask({ action: "log", run, step }),
      askHistory: () => {
        const opened = this.told.get(run);
        if (opened) view.setHistory(opened.attempts, opened.frames);
      },
    });
    this.views.set(run, view);
    place.append(view.node);
    view.attached();
    return view;
  }

  private show(view: DagView, opened: Opened): void {
    const { steps, ...run } = opened.view.run;
    this.told.set(opened.run, opened);
    if (isOver(run.state)) view.freeze(run.now ?? opened.frames.at(-1)?.at ?? 0);
    // The same object as before, so that the picture is not built anew.
    const graph = view.graph ?? opened.view.graph;
    view.update({ graph, run, facts: steps });
    view.setHistory(opened.attempts, opened.frames);
  }

  private close(): void {
    for (const view of this.views.values()) view.dispose();
    this.views.clear();
    this.told.clear();
    this.place.replaceChildren();
    this.table.open(null);
  }

  /** What goes on is read anew now and then, as long as somebody may be looking. */
  private follow(): void {
    if (document.hidden || !this.table.isGoing) return;
    this.host.ask({ action: "refresh" });
    const going = [...this.told.values()].find((opened) => !isOver(opened.view.run.state));
    if (going && this.wanted === going.run) this.host.ask({ action: "open", run: going.run });
  }
}
