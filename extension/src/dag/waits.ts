// What a run waited for, from its attempts and its frames: for a free slot, before a retry, for a person. Pure.
import type { Frame } from "./history";
import type { Bar } from "./lanes";
import type { Graph } from "./state";

export type WaitKind = "slot" | "retry" | "person";

export interface Wait {
  step: number;
  kind: WaitKind;
  from: number;
  to: number;
  lane: number;
}

/** Waits in the lane of the bar that follows, or below all bars where none does yet. */
export function waitsOf(graph: Graph, bars: readonly Bar[], frames: readonly Frame[], now: number): Wait[] {
  const ofStep = new Map<number, Bar[]>();
  for (const bar of bars) {
    if (!ofStep.has(bar.step)) ofStep.set(bar.step, []);
    ofStep.get(bar.step)!.push(bar);
  }
  const begins = beginnings(frames, bars);
  const persons = personWaits(frames, now);
  const endOf = new Map([...ofStep].map(([step, tries]) => [step, Math.max(...tries.map((bar) => bar.ended))]));
  const ready = new Map<number, number>();
  for (const { source, target } of graph.edges)
    ready.set(target, Math.max(ready.get(target) ?? -Infinity, endOf.get(source) ?? -Infinity));

  let below = bars.reduce((most, bar) => Math.max(most, bar.lane + 1), 0);
  const waits: Wait[] = [];
  for (const { step, from, to } of persons) {
    const next = ofStep.get(step)?.find((bar) => bar.started >= to - EPSILON);
    waits.push({ step, kind: "person", from, to, lane: next?.lane ?? below++ });
  }
  for (const [step, tries] of ofStep) {
    tries.forEach((bar, at) => {
      const begun = begins.findLast((moment: number) => moment <= bar.started + EPSILON) ?? -Infinity;
      const before = tries[at - 1];
      const isRetry = before !== undefined && before.ended >= begun;
      const answered = persons.find((wait) => wait.step === step && wait.to <= bar.started + EPSILON)?.to ?? -Infinity;
      const from = isRetry ? before.ended : Math.max(begun, answered, ready.get(step) ?? -Infinity);
      if (Number.isFinite(from) && bar.started > from + EPSILON)
        waits.push({ step, kind: isRetry ? "retry" : "slot", from, to: bar.started, lane: bar.lane });
    });
  }
  return waits;
}

const EPSILON = 1e-6;

/** When the run began, and each time that it went on after its process had gone. */
function beginnings(frames: readonly Frame[], bars: readonly Bar[]): number[] {
  const found = frames.flatMap(({ kind, at }) => (kind === "run.started" || kind === "run.resumed" ? [at] : []));
  return found.length || !bars.length ? found : [Math.min(...bars.map((bar) => bar.started))];
}

function personWaits(frames: readonly Frame[], now: number): { step: number; from: number; to: number }[] {
  const open = new Map<number, number>();
  const found: { step: number; from: number; to: number }[] = [];
  for (const { kind, step, state, at } of frames) {
    if (step === undefined) continue;
    if (kind === "step.waiting") open.set(step, at);
    else if (open.has(step) && state !== "w") {
      found.push({ step, from: open.get(step)!, to: at });
      open.delete(step);
    }
  }
  const isOver = frames.at(-1)?.run?.ended !== undefined && frames.at(-1)?.run?.ended !== null;
  const end = isOver ? frames.at(-1)!.at : Math.max(now, frames.at(-1)?.at ?? now);
  return [...found, ...[...open].map(([step, from]) => ({ step, from, to: end }))];
}
