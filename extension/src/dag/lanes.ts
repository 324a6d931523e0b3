// Attempts as bars: which stand beside each other, and which of them the run's length hangs on. Pure.
import type { Graph } from "./state";

export type TimedAttempt = readonly [
  step: number,
  number: number,
  state: string,
  started: number,
  ended: number | null,
];

export interface Bar {
  step: number;
  number: number;
  state: string;
  started: number;
  ended: number;
  isOpen: boolean;
  lane: number;
  isCritical: boolean;
}

/** Bars in lanes: each takes the first lane that is free at its start. What goes on ends at `now`. */
export function arrange(graph: Graph, attempts: readonly TimedAttempt[], now: number): Bar[] {
  const bars = attempts
    .map(([step, number, state, started, ended]): Bar => ({
      step,
      number,
      state,
      started,
      ended: ended ?? Math.max(started, now),
      isOpen: ended === null,
      lane: 0,
      isCritical: false,
    }))
    .sort((one, other) => one.started - other.started || one.step - other.step);
  const free: number[] = [];
  for (const bar of bars) {
    let lane = free.findIndex((at) => at <= bar.started + 1e-9);
    if (lane < 0) lane = free.length;
    free[lane] = bar.ended;
    bar.lane = lane;
  }
  markCritical(graph, bars);
  return bars;
}

/** From the attempt that ended last, back over what each had to wait for: its own last attempt, or its last source. */
function markCritical(graph: Graph, bars: Bar[]): void {
  const sources = new Map<number, number[]>();
  for (const edge of graph.edges) {
    if (!sources.has(edge.target)) sources.set(edge.target, []);
    sources.get(edge.target)!.push(edge.source);
  }
  const ofStep = new Map<number, Bar[]>();
  for (const bar of bars) {
    if (!ofStep.has(bar.step)) ofStep.set(bar.step, []);
    ofStep.get(bar.step)!.push(bar);
  }
  const last = (candidates: readonly Bar[]): Bar | undefined =>
    candidates.reduce<Bar | undefined>((best, bar) => (!best || bar.ended > best.ended ? bar : best), undefined);
  let bar = last(bars);
  while (bar && !bar.isCritical) {
    bar.isCritical = true;
    const started: number = bar.started;
    const own = (ofStep.get(bar.step) ?? []).filter((other) => other.ended <= started + 1e-6 && !other.isCritical);
    const before = (sources.get(bar.step) ?? [])
      .flatMap((source) => ofStep.get(source) ?? [])
      .filter((other) => other.ended <= started + 1e-6);
    bar = last(own) ?? last(before);
  }
}

/** A step between marks of a time axis that gives about `wanted` marks: 1, 2 or 5 times a power of ten, or minutes. */
export function markEvery(span: number, wanted: number): number {
  const rough = span / Math.max(1, wanted);
  for (const nice of [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
    14_400, 43_200, 86_400,
  ]) {
    if (nice >= rough) return nice;
  }
  return Math.ceil(rough / 86_400) * 86_400;
}
