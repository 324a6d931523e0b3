import { describe, expect, it } from "vitest";
import { type Frame, History } from "../src/dag/history";
import { type TimedAttempt, arrange, markEvery } from "../src/dag/lanes";
import { waitsOf } from "../src/dag/waits";
import { contract, sales } from "./contract";

interface Recorded {
  frames: Frame[];
  moments: { position: number; states: string; state: string; facts: Record<string, unknown> }[];
  timeline: TimedAttempt[];
}

const recorded = contract<Recorded>("sales_history");
const { graph, run } = sales("failed");

it.each(recorded.moments)(
  "shows the moment after $position frames as Python folds it",
  ({ position, states, state, facts }) => {
    const picture = new History(graph, recorded.frames, run.run).at(position);

    expect(picture.run.states).toBe(states);
    expect(picture.run.state).toBe(state);
    expect(Object.fromEntries(Object.entries(picture.facts).filter(([, fact]) => Object.keys(fact).length))).toEqual(
      facts,
    );
  },
);

it("gives the same picture whichever way one comes to it", () => {
  const frames: Frame[] = Array.from({ length: 1000 }, (_, at) => ({
    at,
    kind: "step.started",
    step: at % 6,
    state: at % 2 ? "r" : "c",
    facts: { attempts: at },
  }));
  const forwards = new History(graph, frames, null);
  const backwards = new History(graph, frames, null);

  const one = [0, 1, 249, 250, 251, 600, 1000].map((position) => forwards.at(position));
  const other = [1000, 600, 251, 250, 249, 1, 0].map((position) => backwards.at(position)).reverse();

  expect(one).toEqual(other);
});

it("puts attempts that overlap beside each other, and no others", () => {
  const bars = arrange(graph, recorded.timeline, 0);

  expect(bars.map((bar) => [graph.nodes[bar.step]!.name, bar.number, bar.lane])).toEqual([
    ["load", 1, 0],
    ["load", 2, 0],
    ["clean", 1, 0],
    ["by_region", 1, 0],
    ["by_month", 1, 1],
    ["plot", 1, 0],
  ]);
});

it("marks what the length of the run hangs on", () => {
  const critical = arrange(graph, recorded.timeline, 0).filter((bar) => bar.isCritical);

  expect(critical.map((bar) => `${graph.nodes[bar.step]!.name} ${bar.number}`)).toEqual([
    "load 1",
    "load 2",
    "clean 1",
    "by_month 1",
    "plot 1",
  ]);
});

describe("what a run waited for", () => {
  const waits = (attempts: TimedAttempt[], frames: Frame[] = [], now = 0): string[] =>
    waitsOf(graph, arrange(graph, attempts, now), frames, now).map(
      ({ step, kind, from, to, lane }) => `${graph.nodes[step]!.name} ${kind} ${from}-${to} in ${lane}`,
    );

  it("is the next attempt, and a slot once all that a step needs is there", () => {
    const attempts: TimedAttempt[] = [
      [0, 1, "failed", 1, 2],
      [0, 2, "completed", 4, 5],
      [1, 1, "completed", 7, 8],
    ];
    expect(waits(attempts)).toEqual(["load retry 2-4 in 0", "clean slot 5-7 in 0"]);
  });

  it("is a person, in a lane of its own as long as nobody has answered", () => {
    const frames: Frame[] = [
      { at: 1, kind: "run.started" },
      { at: 1, kind: "step.waiting", step: 0, state: "w" },
    ];
    expect(waits([], frames, 9)).toEqual(["load person 1-9 in 0"]);
    const answered: Frame[] = [...frames, { at: 4, kind: "step.answered", step: 0, state: "p" }];
    expect(waits([[0, 1, "completed", 4, 5]], answered, 9)).toEqual(["load person 1-4 in 0"]);
  });

  it("is nobody's while its process was gone", () => {
    const frames: Frame[] = [
      { at: 1, kind: "run.started" },
      { at: 50, kind: "run.resumed" },
    ];
    const attempts: TimedAttempt[] = [
      [0, 1, "lost", 1, 3],
      [0, 2, "completed", 52, 53],
    ];
    expect(waits(attempts, frames)).toEqual(["load slot 50-52 in 0"]);
  });
});

it("lets an attempt that goes on end now", () => {
  const [bar] = arrange(graph, [[0, 1, "running", 10, null]], 12.5);

  expect(bar).toMatchObject({ started: 10, ended: 12.5, isOpen: true });
});

it.each([
  [6.4, 10, 1],
  [0.02, 10, 0.002],
  [600, 8, 120],
  [86_400 * 30, 10, 86_400 * 3],
])("marks an axis of %d s in about %d parts every %d s", (span, wanted, every) =>
  expect(markEvery(span, wanted)).toBe(every),
);
