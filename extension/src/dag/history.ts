// A run through time: frames that Python made of its events, put together to the picture of any moment.
import { type Facts, type Graph, type Picture, type Run, type StepState, STATE_OF_CODE } from "./state";

export interface Frame {
  at: number;
  kind: string;
  step?: number;
  state?: string;
  facts?: Facts;
  run?: Partial<Run>;
  reset?: Record<string, Facts>;
}

interface Moment {
  states: string[];
  facts: Record<string, Facts>;
  run: Partial<Run>;
}

const CHECKPOINT_EVERY = 250;

export class History {
  private readonly checkpoints: Moment[];

  constructor(
    private readonly graph: Graph,
    readonly frames: readonly Frame[],
    private readonly runId: string | null,
  ) {
    this.checkpoints = [{ states: graph.nodes.map(() => "p"), facts: {}, run: { state: "created" } }];
  }

  get length(): number {
    return this.frames.length;
  }

  timeOf(position: number): number {
    return this.frames[Math.max(0, Math.min(position, this.length) - 1)]?.at ?? 0;
  }

  /** The picture after the first `position` frames. */
  at(position: number): Picture {
    const end = Math.max(0, Math.min(position, this.length));
    while (this.checkpoints.length <= Math.floor(end / CHECKPOINT_EVERY)) {
      const from = this.checkpoints.length - 1;
      this.checkpoints.push(this.play(this.checkpoints[from]!, from * CHECKPOINT_EVERY, (from + 1) * CHECKPOINT_EVERY));
    }
    const nearest = Math.floor(end / CHECKPOINT_EVERY);
    const { states, facts, run } = this.play(this.checkpoints[nearest]!, nearest * CHECKPOINT_EVERY, end);
    const counts: Partial<Record<StepState, number>> = {};
    for (const code of states) {
      const state = STATE_OF_CODE[code]!;
      counts[state] = (counts[state] ?? 0) + 1;
    }
    return {
      graph: this.graph,
      facts,
      run: { state: "created", ...run, run: this.runId, states: states.join(""), counts, now: this.timeOf(end) },
    };
  }

  private play(from: Moment, start: number, end: number): Moment {
    const moment: Moment = { states: from.states.slice(), facts: { ...from.facts }, run: { ...from.run } };
    for (let at = start; at < end; at++) {
      const { step, state, facts, run, reset } = this.frames[at]!;
      if (step !== undefined) {
        moment.states[step] = state ?? "p";
        moment.facts[step] = facts ?? {};
      }
      for (const [number, past] of Object.entries(reset ?? {})) {
        moment.states[Number(number)] = "p";
        moment.facts[number] = past;
      }
      Object.assign(moment.run, run);
    }
    return moment;
  }
}
