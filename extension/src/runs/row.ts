// A row of the table of runs: what Python tells of a run, and which rows a person wants to see in what order. Pure.
import { formatDuration, oneLine, stateWord } from "../dag/format";
import { type RunState, type StepState, isOver } from "../dag/state";

export interface RunRow {
  id: string;
  flow: string;
  version: number;
  shown_state: RunState;
  /** Whether it failed because its answer is in doubt. */
  doubted?: boolean;
  reason: string;
  params: Record<string, unknown>;
  created: number;
  started: number | null;
  ended: number | null;
  counts: Partial<Record<StepState, number>>;
}

export type Column = "state" | "id" | "flow" | "created" | "took";

export interface Wish {
  text: string;
  state: string;
  column: Column;
  isDescending: boolean;
}

/** Seconds from a run's start to its end, or to `now` while it goes on; null where nobody knows. */
export function tookOf(run: RunRow, now: number): number | null {
  if (run.started === null) return null;
  if (run.ended !== null) return run.ended - run.started;
  return isOver(run.shown_state) ? null : Math.max(0, now - run.started);
}

export const paramsText = (run: RunRow): string =>
  Object.entries(run.params)
    .map(([name, value]) => oneLine(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`, 60))
    .join("  ");

/** The rows with all words of `text` and in `state`, sorted; of equal ones the newest first. */
export function wanted<Row extends RunRow>(runs: readonly Row[], wish: Wish, now: number): Row[] {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = runs.filter((run) => {
    const said = [run.id, run.flow, stateWord(run.shown_state), run.reason, paramsText(run)].join(" ").toLowerCase();
    return (!wish.state || run.shown_state === wish.state) && words.every((word) => said.includes(word));
  });
  const key = (run: RunRow): number | string => {
    if (wish.column === "took") return tookOf(run, now) ?? -1;
    if (wish.column === "state") return stateWord(run.shown_state);
    return run[wish.column];
  };
  const sign = wish.isDescending ? -1 : 1;
  return found.sort((one, other) => {
    const [left, right] = [key(one), key(other)];
    return left === right ? other.created - one.created : left < right ? -sign : sign;
  });
}

/** How long a run took or is taking, as text. */
export function tookText(run: RunRow, now: number): string {
  const took = tookOf(run, now);
  return took === null ? "" : formatDuration(took);
}

/** When something was, as a person says it in a narrow column. */
export function when(at: number, now: number): string {
  const seconds = Math.max(0, now - at);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  const [date, today] = [new Date(at * 1000), new Date(now * 1000)];
  if (date.toDateString() === today.toDateString()) return `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

const pad = (part: number): string => String(part).padStart(2, "0");
