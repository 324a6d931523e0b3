// Two runs beside each other: their pictures with what differs marked, and the differences one by one.
import { html } from "../dag/dom";
import { formatDuration, formatValue, oneLine, stateWord } from "../dag/format";
import type { Value } from "../dag/state";

export interface ComparedValue {
  name: string;
  same: boolean;
  sides: [Value | null, Value | null];
}

interface Side {
  state: string;
  took: number | null;
  error: string | null;
}

export interface ComparedStep {
  name: string;
  differs: string[];
  sides: [Side | null, Side | null];
  values: ComparedValue[];
}

export interface Comparison {
  runs: [string, string];
  inputs: ComparedValue[];
  steps: ComparedStep[];
}

/** The differences as a table, what differs first; steps that are the same are told with their times. */
export function differences({ runs, inputs, steps }: Comparison): HTMLElement {
  const changed = inputs.filter((input) => !input.same);
  const rows = [
    ...changed.map((input) => row(`input ${input.name}`, true, "values", ...texts(input))),
    ...[...steps]
      .sort((one, other) => Number(other.differs.length > 0) - Number(one.differs.length > 0))
      .flatMap(stepRows),
  ];
  const count = steps.filter((step) => step.differs.length).length + changed.length;
  const said = count ? `${count} ${count === 1 ? "difference" : "differences"}` : "Nothing differs but times";
  return html(
    "div",
    { class: "szal-differences" },
    html("h2", {}, said),
    html(
      "table",
      { class: "szal-table" },
      html(
        "thead",
        {},
        html("tr", {}, ...["Step", "Differs in", ...runs].map((title) => html("th", { scope: "col" }, title))),
      ),
      html("tbody", {}, ...rows),
    ),
  );
}

function stepRows(step: ComparedStep): HTMLElement[] {
  const [one, other] = step.sides.map((side) => (side ? sideText(side) : "not in this run")) as [string, string];
  const rows = [row(step.name, step.differs.length > 0, step.differs.join(", "), one, other)];
  for (const value of step.values)
    if (!value.same) rows.push(row(value.name === "_" ? "last value" : value.name, true, "", ...texts(value), true));
  return rows;
}

const sideText = ({ state, took, error }: Side): string =>
  [stateWord(state), error && oneLine(error, 120), took === null ? "" : formatDuration(took)]
    .filter(Boolean)
    .join(" · ");

const texts = ({ sides }: ComparedValue): [string, string] =>
  sides.map((side) => (side ? valueText(side) : "—")) as [string, string];

function valueText(value: Value): string {
  const said = formatValue(value);
  return value.summary && !said.includes(value.summary) ? `${said} · ${value.summary}` : said;
}

function row(name: string, differs: boolean, what: string, one: string, other: string, isValue = false): HTMLElement {
  return html(
    "tr",
    { class: `${differs ? "is-different" : ""}${isValue ? " is-value" : ""}` },
    html("th", { scope: "row" }, oneLine(name, 80)),
    ...[what, one, other].map((cell) => html("td", {}, oneLine(cell, 200))),
  );
}
