// Numbers as people read them; the twin of `model/duration.py` and `widget/svg.py` (tests/contract/format.json).
import { type Facts, type Run, type RunState, type StepState, type Value, isOver } from "./state";

export function formatDuration(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}m ${String(whole % 60).padStart(2, "0")}s`;
  return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, "0")}m`;
}

export function formatSize(size: number): string {
  if (size < 1000) return `${size} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let amount = size / 1000;
  let unit = 0;
  while (amount >= 999.95 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return amount < 99.95
    ? `${(Math.floor(amount * 10) / 10).toFixed(1)} ${units[unit]}`
    : `${Math.floor(amount + 0.5)} ${units[unit]}`;
}

// Made once: to look its language up for each number would be most of what drawing a node costs.
const DIGITS = new Intl.NumberFormat("en-US");

export function formatShape(shape: readonly number[]): string {
  if (shape.length === 1) return `${DIGITS.format(shape[0]!)} item${shape[0] === 1 ? "" : "s"}`;
  return shape.map((side) => DIGITS.format(side)).join(" × ");
}

export function formatValue(value: Value): string {
  const said = [value.type];
  if (value.shape?.length) said.push(formatShape(value.shape));
  if (value.size) said.push(formatSize(value.size));
  return said.filter(Boolean).join(" · ");
}

const SAID_FIRST: readonly StepState[] = [
  "failed",
  "running",
  "retrying",
  "waiting",
  "skipped",
  "cancelled",
  "rolled_back",
];

/** How a run stands, in a few words: what is completed of all, then what is worth knowing. */
export function countLine(counts: Partial<Record<StepState, number>>, total: number): string {
  const said = [`${counts.completed ?? 0} of ${total} completed`];
  for (const state of SAID_FIRST) if (counts[state]) said.push(`${counts[state]} ${stateWord(state)}`);
  return said.join(" · ");
}

// Bytes: what is smaller takes no thought.
const WORTH_TELLING = 1000;
// A step that waits says for what; one that completed may have stopped the run.
const WITH_REASON: readonly StepState[] = ["skipped", "waiting", "completed"];
const WORDS: Record<string, string> = { rolled_back: "rolled back", rolling_back: "rolling back", idle: "not run yet" };

export const stateWord = (state: StepState | RunState | string): string => WORDS[state] ?? state;

// Marks that turn the direction of the text after them, and what a line cannot show.
const UNSHOWN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text on one line, at most `limit` characters. */
export function oneLine(text: string, limit: number): string {
  const line = text
    .slice(0, 4 * limit)
    .replace(UNSHOWN, "")
    .replace(/\s+/g, " ")
    .trim();
  return line.length <= limit ? line : `${line.slice(0, limit - 1)}…`;
}

/** How long a step took, is taking, or will wait; empty where that says nothing. `now` is in the kernel's clock. */
export function timeSpent(state: StepState, facts: Facts, now: number): string {
  const { started, ended, retry_at } = facts;
  if (state === "running" && started !== undefined) return formatDuration(Math.max(0, now - started));
  if (state === "retrying" && retry_at !== undefined) return `in ${formatDuration(Math.max(0, retry_at - now))}`;
  return started !== undefined && ended !== undefined && state !== "pending" ? formatDuration(ended - started) : "";
}

/** The same for a step of a run: how long one has been at work that a dead process left so, nobody knows. */
export function timeTold(run: Run, state: StepState, facts: Facts, now: number): string {
  return isOver(run.state) && facts.ended === undefined ? "" : timeSpent(state, facts, now);
}

/** How far something is; a share of one, and of what is no whole number, in per cent. */
function progressSaid(done: number, total: number | undefined): string {
  if (total !== undefined && total > 0 && (total === 1 || !Number.isInteger(total)))
    return `${Math.trunc((100 * done) / total)}%`;
  return count(done) + (total === undefined ? "" : ` of ${count(total)}`);
}

/** What a node says under its name. */
export function factLine(state: StepState, facts: Facts): string {
  const said = [state === "completed" && facts.origin ? facts.origin : stateWord(state)];
  if (state === "failed" && facts.error) return `${said[0]} · ${oneLine(facts.error, 80)}`;
  if ((facts.attempts ?? 0) > 1) said.push(`try ${facts.attempts}`);
  if (state === "running" && facts.done !== undefined) said.push(progressSaid(facts.done, facts.total));
  if (state === "running" && facts.note) said.push(oneLine(facts.note, 60));
  const values = facts.values ?? [];
  const shaped = values.find((value) => value.shape?.length);
  const size = values.reduce((sum, value) => sum + value.size, 0);
  if (shaped?.shape) said.push(formatShape(shaped.shape));
  else if (size >= WORTH_TELLING) said.push(formatSize(size));
  if (facts.elements_failed)
    said.push(`${DIGITS.format(facts.elements_failed)} element${facts.elements_failed === 1 ? "" : "s"} failed`);
  if (WITH_REASON.includes(state) && facts.reason) said.push(oneLine(facts.reason, 60));
  if (facts.rollback_error) said.splice(1, Infinity, `not undone: ${oneLine(facts.rollback_error, 60)}`);
  return said.join(" · ");
}

/** Text that breaks only before a `·`: where there is no room for its last parts these go as a whole, not half a number. */
export const byParts = (text: string): string => text.replace(/ (?!·)/g, "\u00a0");

const count = (amount: number): string => DIGITS.format(Math.floor(amount));
