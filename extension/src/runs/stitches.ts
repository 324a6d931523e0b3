// How far a run came of which only the counts are known: a seam whose stitches are shared out by them.
import { Seam } from "../dag/seam";
import { type StepState, CODE_OF_STATE } from "../dag/state";
import type { RunRow } from "./row";

const MOST_STITCHES = 24;
const ORDER: readonly StepState[] = [
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

export function stitches(counts: RunRow["counts"]): HTMLElement {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const shown = Math.min(total, MOST_STITCHES);
  let states = "";
  for (const state of ORDER) {
    const count = counts[state] ?? 0;
    states += CODE_OF_STATE[state].repeat(count ? Math.max(1, Math.round((count / total) * shown)) : 0);
  }
  const seam = new Seam();
  seam.update(states);
  return seam.node;
}
