// What is known of one notebook: its flows as its cells stand, the runs of its store, and the run that is shown.
import type { Graph } from "../dag/state";
import { isOver } from "../dag/state";
import type { CellText, Client, FlowDocument, StoredRun } from "./client";
import { Refusal } from "./client";
import { Feed } from "./feed";
import type { Tail } from "./tail";

const RETRY_MS = 5000;

/** Where the cells come from. */
export interface Source {
  readonly path: string;
  cells(): CellText[];
}

export class Watch {
  flows: readonly FlowDocument[] = [];
  runs: readonly StoredRun[] = [];
  problem = "";
  /** The flow that is shown. */
  flow: string | null = null;
  readonly feed: Feed;
  private pinned: string | null = null;
  private source: Source | null = null;
  private stop: AbortController | null = null;
  private readonly listeners = new Set<() => void>();
  private hasRuns = false;

  constructor(
    private readonly client: Client,
    tail: Tail = client,
  ) {
    this.feed = new Feed(tail, () => this.tell());
  }

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  get path(): string | null {
    return this.source?.path ?? null;
  }

  /** Looks at another notebook, or at none. */
  look(source: Source | null): void {
    this.pause();
    this.source = source;
    this.flows = [];
    this.runs = [];
    this.hasRuns = false;
    this.problem = "";
    this.flow = null;
    this.pinned = null;
    this.feed.clear();
    this.tell();
  }

  /** Begins to listen, if it does not yet. */
  resume(): void {
    if (!this.source || this.stop) return;
    this.stop = new AbortController();
    void this.read();
    void this.listen(this.source.path, this.stop.signal);
  }

  /** Ends listening; what was heard stays. */
  pause(): void {
    this.stop?.abort();
    this.stop = null;
    this.feed.close();
  }

  /** Reads the flows from the cells as they stand now. */
  async read(): Promise<void> {
    const { source } = this;
    if (!source) return;
    try {
      const { flows, problem } = await this.client.flows(source.path, source.cells());
      if (source !== this.source) return;
      // While a cell is being written its flow is the one before.
      if (!problem || !this.flows.length) this.flows = keepSame(this.flows, flows);
      this.problem = problem ?? "";
    } catch (error) {
      if (source !== this.source) return;
      this.problem = error instanceof Refusal ? error.message : "The server does not answer.";
    }
    this.settle();
  }

  chooseFlow(flow: string): void {
    this.flow = flow;
    this.pinned = null;
    this.settle();
  }

  chooseRun(run: StoredRun): void {
    this.flow = run.flow;
    this.pinned = run.id;
    this.settle();
  }

  /** The flow that is shown, as its cells stand. */
  get graph(): Graph | null {
    return this.flows.find((flow) => flow.name === this.flow)?.graph ?? null;
  }

  private async listen(path: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.client.followRuns(path, (runs) => this.heard(runs), signal);
      } catch (error) {
        if (signal.aborted) return;
        this.problem = error instanceof Refusal ? error.message : "The server does not answer.";
        this.tell();
      }
      await new Promise((resume) => setTimeout(resume, RETRY_MS));
    }
  }

  private heard(runs: StoredRun[]): void {
    const known = new Set(this.runs.map((run) => run.id));
    // A run that began while we looked is what its author wants to see.
    const begun = runs.find((run) => this.hasRuns && run.here && !known.has(run.id));
    this.runs = runs;
    this.hasRuns = true;
    if (begun) {
      this.flow = begun.flow;
      this.pinned = null;
    }
    this.settle();
  }

  /** Shows what is chosen: a run, else the newest run of the flow in this notebook, else the flow itself. */
  private settle(): void {
    const names = this.flows.map((flow) => flow.name);
    const isKnown = this.flow !== null && (names.includes(this.flow) || this.pinned !== null);
    if (!isKnown) this.flow = this.runs.find((run) => run.here && names.includes(run.flow))?.flow ?? names[0] ?? null;
    const pinned = this.runs.find((run) => run.id === this.pinned);
    const run = pinned ?? this.runs.find((found) => found.here && found.flow === this.flow);
    if (run && this.source) this.follow(this.source.path, run);
    else if (this.hasRuns && this.graph && this.feed.picture?.graph !== this.graph) this.feed.showFlow(this.graph);
    else if (this.hasRuns && !this.graph && this.feed.picture) this.feed.clear();
    this.tell();
  }

  private follow(path: string, run: StoredRun): void {
    const { picture } = this.feed;
    const isShown = this.feed.run === run.id && this.feed.path === path;
    // A run that had ended goes on again when somebody resumes it.
    const hasMoved = isShown && !this.feed.isOpen && picture?.run.state !== run.shown_state;
    const isCut = isShown && !this.feed.isOpen && !isOver(run.shown_state);
    if (this.stop && (!isShown || hasMoved || isCut || !picture)) {
      if (isShown && this.feed.isOpen) return;
      this.feed.follow(path, run.id);
    }
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** Flows whose graphs are the same objects as before where they say the same: a picture is then not built anew. */
function keepSame(before: readonly FlowDocument[], now: readonly FlowDocument[]): FlowDocument[] {
  return now.map((flow) => before.find((old) => JSON.stringify(old) === JSON.stringify(flow)) ?? flow);
}
