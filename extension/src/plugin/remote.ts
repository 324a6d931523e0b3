// What is asked of a run that a kernel is running, over a comm of its own: answered at once where the kernel can.

import type { Graph } from "../dag/state";
import type { RunListener, RunNews } from "./client";

/** One end of a comm, as JupyterLab has it. */
export interface Comm {
  readonly isDisposed: boolean;
  onMsg: (message: { content: { data: unknown } }) => void;
  onClose: (message: unknown) => void;
  open(data?: unknown): unknown;
  send(data: unknown): unknown;
}

/** The kernel to ask: `key` is another for each start of it. Null where none runs. */
export interface Line {
  readonly key: unknown;
  createComm(target: string): Comm;
}

type Told =
  | { type: "hello" }
  | { type: "picture"; of: number; graph: Graph; run: RunNews }
  | { type: "news"; of: number; run: RunNews }
  | { type: "over"; of: number }
  | { type: "ack" | "done" | "refused" | "unknown"; id: number; text?: string; run?: string };

/** The kernel has no such run, or knows nothing of flows. */
export class Elsewhere extends Error {}

export const BUSY =
  "The kernel is busy with a cell and cannot be reached meanwhile. What you asked for is done when that cell ends; Interrupt ends it now.";

export const LATER =
  "The kernel has heard, and begins as soon as the cell that holds it lets it. Interrupt ends that cell now.";

/** What is asked of a run that the kernel has; or, with `flow`, for a run of it. */
export interface Request {
  action: string;
  run?: string;
  step?: string;
  flow?: string;
  /** Cells that the notebook has lost since it was opened: their steps are none any more. */
  deleted?: readonly string[];
}

interface Waiting {
  /** To be heard is all that is asked. */
  isHeard?: boolean;
  acknowledged(): void;
  done(run?: string): void;
  failed(error: Error): void;
}

interface Follower {
  listener: RunListener;
  over(): void;
  failed(error: Error): void;
}

// A kernel that a cell holds tells nothing: after this time the record is asked, which a server reads.
const FIRST_PICTURE_MS = 2000;
const LOOK_MS = 1000;

export class Remote {
  private readonly followers = new Map<number, Follower>();
  private comm: Comm | null = null;
  private key: unknown = null;
  private nextId = 1;
  private readonly waiting = new Map<number, Waiting>();

  constructor(private readonly line: () => Line | null) {}

  /** Resolves when the kernel has done it, to the run that began; `acknowledged` is called as soon as it knows. */
  ask(request: Request, acknowledged: () => void): Promise<string | undefined> {
    const line = this.line();
    if (!line) return Promise.reject(new Elsewhere("No kernel runs."));
    const comm = this.open(line);
    const id = this.nextId++;
    return new Promise((done, failed) => {
      this.waiting.set(id, { acknowledged, done, failed });
      comm.send({ ...request, id });
    });
  }

  /** Whether the kernel hears, though a cell may hold it: `acknowledged` is called if it does. */
  ping(acknowledged: () => void): void {
    const line = this.line();
    if (!line) return;
    const comm = this.open(line);
    const id = this.nextId++;
    this.waiting.set(id, { acknowledged, done: () => undefined, failed: () => undefined, isHeard: true });
    comm.send({ action: "ping", id });
  }

  /** Tells of a run that the kernel is running until it ends or `signal` is aborted; rejects where it is not there. */
  async follow(run: string, listener: RunListener, signal: AbortSignal): Promise<void> {
    const line = this.line();
    if (!line) throw new Elsewhere("No kernel runs.");
    const comm = this.open(line);
    const id = this.nextId++;
    let look: ReturnType<typeof setInterval> | undefined;
    try {
      await new Promise<void>((over, failed) => {
        const late = setTimeout(() => failed(new Elsewhere("The kernel is busy.")), FIRST_PICTURE_MS);
        const shown = (): void => clearTimeout(late);
        this.followers.set(id, {
          listener: { picture: (graph, news) => (shown(), listener.picture(graph, news)), news: listener.news },
          over,
          failed: (error) => (shown(), failed(error)),
        });
        this.waiting.set(id, { acknowledged: shown, done: shown, failed: (error) => (shown(), failed(error)) });
        signal.addEventListener("abort", () => (shown(), over()));
        // A kernel that was restarted or killed does not say farewell.
        look = setInterval(() => {
          const isThere = !comm.isDisposed && this.comm === comm && this.line()?.key === line.key;
          if (!isThere) failed(new Elsewhere("The kernel is gone."));
        }, LOOK_MS);
        comm.send({ action: "follow", run, id });
      });
    } finally {
      clearInterval(look);
      this.waiting.delete(id);
      this.followers.delete(id);
      if (!comm.isDisposed) comm.send({ action: "unfollow", of: id });
    }
  }

  private open(line: Line): Comm {
    if (this.comm && !this.comm.isDisposed && this.key === line.key) return this.comm;
    this.hangUp("The kernel was restarted.");
    const comm = line.createComm("szal");
    comm.onMsg = ({ content }) => this.take(content.data as Told);
    // Where nobody listens the kernel closes the comm.
    comm.onClose = () => {
      if (this.comm === comm) this.comm = null;
      this.hangUp("The kernel knows no flows: execute %load_ext szal_nb.");
    };
    comm.open();
    this.comm = comm;
    this.key = line.key;
    return comm;
  }

  private hangUp(text: string): void {
    const left = [...this.waiting.values(), ...this.followers.values()];
    this.waiting.clear();
    this.followers.clear();
    for (const { failed } of left) failed(new Elsewhere(text));
  }

  private take(told: Told): void {
    if (told.type === "hello") return;
    if ("of" in told) {
      const follower = this.followers.get(told.of);
      if (told.type === "picture") follower?.listener.picture(told.graph, told.run);
      else if (told.type === "news") follower?.listener.news(told.run);
      else follower?.over();
      return;
    }
    const waiting = this.waiting.get(told.id);
    if (!waiting) return;
    if (told.type === "ack") {
      waiting.acknowledged();
      if (waiting.isHeard) this.waiting.delete(told.id);
      return;
    }
    this.waiting.delete(told.id);
    if (told.type === "done") waiting.done(told.run);
    else if (told.type === "unknown") waiting.failed(new Elsewhere(told.text));
    else waiting.failed(new Error(told.text));
  }
}
