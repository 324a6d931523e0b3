import { describe, expect, it } from "vitest";
import { group, groupTags, grouped } from "../src/dag/grouping";
import { Log, outputsAt } from "../src/dag/log";
import { nodeAt, nodesIn } from "../src/dag/sight";
import type { LogPiece, Picture } from "../src/dag/state";
import { type RunRow, type Wish, tookOf, wanted, when } from "../src/runs/row";
import { contract, sales } from "./contract";

describe("a log", () => {
  const pieces = contract<LogPiece[]>("sales_log");
  const T0 = 1_700_000_000;

  it("of a moment is what the attempt of then had shown", () => {
    const text = (moment: number): string[] =>
      outputsAt(pieces, moment).map((output) => (output.type === "stream" ? output.text : output.type));

    expect(text(T0)).toEqual([]);
    expect(text(T0 + 2)).toEqual(["old\n"]);
    expect(text(T0 + 3.05)).toEqual(["reading 12 files\n"]);
    expect(text(T0 + 9)).toEqual([
      "reading 12 files\n\u001b[32mok\u001b[0m 10,000 rows\n",
      "one file is old\n",
      "display_data",
    ]);
  });

  it("shows the lines that are sought, in their colours, with the place marked", () => {
    const log = new Log();
    log.update(outputsAt(pieces, T0 + 9));
    const search = log.node.querySelector("input")!;
    search.value = "ROWS";
    search.dispatchEvent(new Event("input"));

    expect(log.node.querySelector(".szal-log")!.textContent).toBe("ok 10,000 rows");
    expect(log.node.querySelector(".szal-ansi-green")!.textContent).toBe("ok");
    expect([...log.node.querySelectorAll("mark")].map((mark) => mark.textContent)).toEqual(["rows"]);
    expect(log.node.querySelector("[role=status]")!.textContent).toBe("1 line");
  });
});

describe("a group", () => {
  const tagged = (states: string): Picture => {
    const { graph, run, facts } = sales("running");
    const nodes = graph.nodes.map((node, at) => ({ ...node, tags: at >= 1 && at <= 3 ? ["middle"] : [] }));
    return { graph: { ...graph, nodes }, run: { ...run, states }, facts };
  };

  it("is made of steps that share a tag, if they are enough", () => {
    expect(groupTags(tagged("pppppp").graph)).toEqual(["middle"]);
    expect(groupTags(sales("running").graph)).toEqual([]);
  });

  it("stands for them in the drawing, with their edges outside", () => {
    const { graph, shownOf, stepsOf } = group(tagged("pppppp").graph, new Set(["middle"]));

    expect(graph.nodes.map((node) => node.name)).toEqual(["load", "middle", "plot", "summary"]);
    expect(shownOf).toEqual([0, 1, 1, 1, 2, 3]);
    expect(stepsOf).toEqual([[0], [1, 2, 3], [4], [5]]);
    expect(graph.edges.filter((edge) => edge.kind === "data").map((edge) => [edge.source, edge.target])).toEqual([
      [0, 1],
      [1, 2],
      [1, 3],
    ]);
    expect(graph.edges.every((edge) => edge.source !== edge.target)).toBe(true);
  });

  it.each([
    ["cppppp", "p", 0],
    ["ccpppp", "r", 1],
    ["ccrppp", "r", 1],
    ["ccfcpp", "f", 3],
    ["cccccc", "c", 3],
  ])("of %s is %s with %d of 3 over", (states, code, done) => {
    const picture = tagged(states);
    const shown = grouped(group(picture.graph, new Set(["middle"])), picture);

    expect(shown.run.states[1]).toBe(code);
    expect(shown.facts[1]).toMatchObject({ done, total: 3 });
  });
});

describe("what is in sight", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 1000, y: 0 },
    { x: 0, y: 1000 },
  ];

  it("is what the window shows a part of", () => {
    const view = { x: 0, y: 0, zoom: 1, width: 500, height: 400 };

    expect(nodesIn(points, view)).toEqual([0]);
    expect(nodesIn(points, { ...view, zoom: 0.3 })).toEqual([0, 1, 2]);
    expect(nodesIn(points, { ...view, x: -800 })).toEqual([1]);
  });

  it("is found under the pointer at any zoom", () => {
    const view = { x: 10, y: 20, zoom: 0.1, width: 500, height: 400 };

    expect(nodeAt(points, view, 15, 22)).toBe(0);
    expect(nodeAt(points, view, 115, 22)).toBe(1);
    expect(nodeAt(points, view, 60, 80)).toBe(-1);
  });
});

describe("the rows of the table of runs", () => {
  const row = (id: string, more: Partial<RunRow>): RunRow => ({
    id,
    flow: "sales",
    version: 1,
    shown_state: "completed",
    reason: "",
    params: {},
    created: 100,
    started: 100,
    ended: 110,
    counts: {},
    ...more,
  });
  const runs = [
    row("a", { created: 100, params: { region: "North" } }),
    row("b", { created: 200, shown_state: "failed", reason: "divide failed", ended: 203 }),
    row("c", { created: 300, shown_state: "running", ended: null, flow: "stock" }),
  ];
  const wish: Wish = { text: "", state: "", column: "created", isDescending: true };
  const ids = (asked: Partial<Wish>): string =>
    wanted(runs, { ...wish, ...asked }, 400)
      .map((run) => run.id)
      .join("");

  it("are sorted as asked for, the newest first among equals", () => {
    expect(ids({})).toBe("cba");
    expect(ids({ isDescending: false })).toBe("abc");
    expect(ids({ column: "took" })).toBe("cba".split("").sort().reverse().join(""));
    expect(ids({ column: "flow", isDescending: false })).toBe("bac");
  });

  it("are those that say all the words, in the state asked for", () => {
    expect(ids({ text: "north" })).toBe("a");
    expect(ids({ text: "divide FAILED" })).toBe("b");
    expect(ids({ state: "running" })).toBe("c");
    expect(ids({ text: "sales", state: "running" })).toBe("");
  });

  it("tell how long a run took, or is taking; of a crashed one nobody knows", () => {
    expect(runs.map((run) => tookOf(run, 400))).toEqual([10, 103, 300]);
    expect(tookOf(row("d", { shown_state: "crashed", ended: null }), 400)).toBeNull();
  });

  it("tell when a run was in words", () => {
    expect(when(1000, 1010)).toBe("just now");
    expect(when(1000, 1000 + 600)).toBe("10 min ago");
    expect(when(0, 1e9)).toMatch(/^19(69|70)-/);
  });
});
