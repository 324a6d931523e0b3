import { expect, it } from "vitest";
import { type Frame, History } from "../src/dag/history";
import { type TimedAttempt, arrange, markEvery } from "../src/dag/lanes";
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
