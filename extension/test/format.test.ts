import { expect, it } from "vitest";
import { countLine, factLine, formatDuration, formatShape, formatSize, oneLine, timeSpent } from "../src/dag/format";
import { STATE_ICONS } from "../src/dag/icons";
import { type Facts, type StepState, STATE_OF_CODE } from "../src/dag/state";
import { contract } from "./contract";

interface Wording {
  durations: [number, string][];
  sizes: [number, string][];
  shapes: [number[], string][];
  lines: [string, string][];
  counts: [Partial<Record<StepState, number>>, number, string][];
  facts: { state: StepState; facts: Facts; said: string; time: string }[];
  now: number;
}

const wording = contract<Wording>("wording");

it.each(wording.durations)("says a duration of %d s as Python does", (seconds, said) =>
  expect(formatDuration(seconds)).toBe(said),
);
it.each(wording.sizes)("says a size of %d bytes as Python does", (size, said) => expect(formatSize(size)).toBe(said));
it.each(wording.shapes)("says the shape %j as Python does", (shape, said) => expect(formatShape(shape)).toBe(said));
it.each(wording.lines)("puts %j on one line as Python does", (text, said) => expect(oneLine(text, 30)).toBe(said));
it.each(wording.counts)("says the counts %j as Python does", (counts, total, said) =>
  expect(countLine(counts, total)).toBe(said),
);
it.each(wording.facts)("says of a step that is $state what Python says: $said", ({ state, facts, said, time }) => {
  expect(factLine(state, facts)).toBe(said);
  expect(timeSpent(state, facts, wording.now)).toBe(time);
});

it("knows the states and icons that Python knows", () => {
  const names = contract<{ states: Record<string, string>; icons: Record<string, string> }>("names");

  expect(STATE_OF_CODE).toEqual(names.states);
  expect(STATE_ICONS).toEqual(names.icons);
});
