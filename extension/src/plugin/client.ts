// What the server extension tells: documents by REST, news by server-sent events. Knows no JupyterLab: `fetch` is given.
import type { Frame } from "../dag/history";
import type { TimedAttempt } from "../dag/lanes";
import type { Details, Facts, Graph, LogPiece, Run } from "../dag/state";
import type { RunRow } from "../runs/row";

/** Asks the server; the path is relative to the extension's own, such as `runs`. */
export type Ask = (path: string, init: RequestInit) => Promise<Response>;

export interface FlowDocument {
  name: string;
  graph: Graph | null;
  problem?: string;
}

export interface FlowsDocument {
  flows: FlowDocument[];
  problem?: string;
}

/** A run of the notebook's store; `here`: it ran this notebook. */
export type StoredRun = RunRow & { here: boolean };

export type RunNews = Run & { steps: Record<string, Facts>; log?: string[] };

export interface RunListener {
  picture(graph: Graph, run: RunNews): void;
  news(run: RunNews): void;
}

/** The server said no; the message says why. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export interface CellText {
  id: string;
  cell_type: string;
  source: string;
  metadata: { tags: unknown };
}

export class Client {
  constructor(private readonly ask: Ask) {}

  /** The flows of a notebook as the front end holds it, saved or not. */
  flows(path: string, cells: readonly CellText[]): Promise<FlowsDocument> {
    const body = JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells });
    return this.json(`flow?${query({ path })}`, { method: "POST", body });
  }

  details(path: string, run: string, step: string): Promise<Details> {
    return this.json(`runs/${run}/details?${query({ path, step })}`);
  }

  history(path: string, run: string): Promise<{ attempts: TimedAttempt[]; frames: Frame[] }> {
    return this.json(`runs/${run}/history?${query({ path })}`);
  }

  async log(path: string, run: string, step: string): Promise<LogPiece[]> {
    return (await this.json<{ pieces: LogPiece[] }>(`runs/${run}/log?${query({ path, step })}`)).pieces;
  }

  /** What was done about it, in words. Refused to those who may only read. */
  answer(path: string, run: string, step: string, approved: boolean): Promise<string> {
    return this.decide(`runs/${run}/answer?${query({ path })}`, "POST", JSON.stringify({ step, approved }));
  }

  cancel(path: string, run: string): Promise<string> {
    return this.decide(`runs/${run}/cancel?${query({ path })}`, "POST", "{}");
  }

  delete(path: string, run: string): Promise<string> {
    return this.decide(`runs/${run}?${query({ path })}`, "DELETE");
  }

  async newestRun(path: string, flow: string): Promise<StoredRun | undefined> {
    const { runs } = await this.json<{ runs: StoredRun[] }>(`runs?${query({ path })}`);
    return runs.find((run) => run.flow === flow);
  }

  /** Tells of a run until it ends or `signal` is aborted. */
  followRun(path: string, run: string, listener: RunListener, signal: AbortSignal): Promise<void> {
    return this.stream(`runs/${run}/events?${query({ path })}`, signal, (kind, data) => {
      if (kind === "picture") {
        const { graph, run } = data as { graph: Graph; run: RunNews };
        listener.picture(graph, run);
      } else if (kind === "run") listener.news(data as RunNews);
    });
  }

  /** Tells of the runs of a notebook's store whenever they change, until `signal` is aborted. */
  followRuns(path: string, listener: (runs: StoredRun[]) => void, signal: AbortSignal): Promise<void> {
    return this.stream(`runs/events?${query({ path })}`, signal, (kind, data) => {
      if (kind === "runs") listener((data as { runs: StoredRun[] }).runs);
    });
  }

  private async decide(path: string, method: string, body?: string): Promise<string> {
    const init: RequestInit = body === undefined ? { method } : { method, body };
    return (await this.json<{ message: string }>(path, init)).message;
  }

  private async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    const response = await this.ask(path, init);
    if (!response.ok) throw await refusal(response);
    return (await response.json()) as T;
  }

  private async stream(path: string, signal: AbortSignal, heard: (kind: string, data: unknown) => void): Promise<void> {
    const response = await this.ask(path, { signal, headers: { Accept: "text/event-stream" } });
    if (!response.ok) throw await refusal(response);
    const reader = response.body!.getReader();
    const parser = new EventParser((kind, data) => {
      const told = JSON.parse(data) as unknown;
      if (kind === "problem") throw new Refusal(String((told as { message: string }).message), 422);
      if (!signal.aborted) heard(kind, told);
    });
    const decoder = new TextDecoder();
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read())
        parser.take(decoder.decode(part.value, { stream: true }));
    } finally {
      // Not awaited: of a stream that was aborted nothing comes any more.
      void reader.cancel().catch(() => undefined);
    }
  }
}

/** Cuts a stream of text into its events, however it was cut on its way. */
export class EventParser {
  private rest = "";

  constructor(private readonly heard: (kind: string, data: string) => void) {}

  take(text: string): void {
    this.rest += text;
    for (let end = this.rest.indexOf("\n\n"); end >= 0; end = this.rest.indexOf("\n\n")) {
      const block = this.rest.slice(0, end);
      this.rest = this.rest.slice(end + 2);
      const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line) ?? ["", "", ""]);
      const data = fields.filter(([, name]) => name === "data").map(([, , value]) => value);
      const kind = fields.find(([, name]) => name === "event")?.[2] ?? "message";
      if (data.length) this.heard(kind, data.join("\n"));
    }
  }
}

const query = (fields: Record<string, string>): string => new URLSearchParams(fields).toString();

async function refusal(response: Response): Promise<Refusal> {
  const said = (await response.json().catch(() => ({}))) as { message?: string };
  return new Refusal(said.message ?? `The server answered ${response.status}.`, response.status);
}
