// One run, or a flow that was not run, as a picture that is kept up to date by whoever tells of it. Draws nothing.
import type { Picture } from "../dag/state";
import type { Graph, Run } from "../dag/state";
import { Refusal, type RunNews } from "./client";
import type { Tail } from "./tail";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;

export type Listener = (feed: Feed) => void;

export class Feed {
  picture: Picture | null = null;
  /** What hinders; empty if nothing does. */
  problem = "";
  /** Steps that printed something in the newest event. */
  printed: readonly string[] = [];
  private stop: AbortController | null = null;
  private followed: { path: string; run: string } | null = null;

  constructor(
    private readonly tail: Tail,
    private readonly changed: Listener,
  ) {}

  get path(): string | null {
    return this.followed?.path ?? null;
  }

  get run(): string | null {
    return this.followed?.run ?? null;
  }

  /** Whether news still come. */
  get isOpen(): boolean {
    return this.stop !== null;
  }

  /** Shows a flow that was not run. */
  showFlow(graph: Graph): void {
    this.close();
    this.followed = null;
    const run: Run = { run: null, state: "idle", states: "p".repeat(graph.nodes.length), counts: {}, now: null };
    this.show({ graph, run, facts: {} });
  }

  /** Shows a run, live until it ends. */
  follow(path: string, run: string): void {
    this.close();
    if (this.followed?.run !== run) this.picture = null;
    this.followed = { path, run };
    this.stop = new AbortController();
    void this.listen(path, run, this.stop.signal);
  }

  /** Ends the news; the picture stays. */
  close(): void {
    this.stop?.abort();
    this.stop = null;
  }

  clear(): void {
    this.close();
    this.followed = null;
    this.picture = null;
    this.problem = "";
    this.changed(this);
  }

  private async listen(path: string, run: string, signal: AbortSignal): Promise<void> {
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      try {
        await this.tail.followRun(
          path,
          run,
          {
            picture: (graph, news) => {
              wait = FIRST_WAIT_MS;
              this.take({ graph, run: news, facts: {} }, news);
            },
            news: (news) => this.picture && this.take(this.picture, news),
          },
          signal,
        );
        // The server ends the stream with the run.
        if (!signal.aborted) this.stop = null;
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.problem = error instanceof Refusal ? error.message : "The server does not answer.";
        this.changed(this);
        if (error instanceof Refusal && error.status === 404) return;
      }
      await new Promise((resume) => setTimeout(resume, wait));
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    }
  }

  private take(before: Picture, news: RunNews): void {
    const { steps, log, ...run } = news;
    this.printed = log ?? [];
    this.show({ graph: before.graph, run, facts: { ...before.facts, ...steps } });
  }

  private show(picture: Picture): void {
    this.problem = "";
    this.picture = picture;
    this.changed(this);
  }
}
