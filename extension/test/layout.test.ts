import { describe, expect, it } from "vitest";
import { type Bend, type Pair, place } from "../src/dag/layout";
import { fittingDirection, measure, placeGraph } from "../src/dag/geometry";
import { contract, sales } from "./contract";

interface Case {
  name: string;
  count: number;
  edges: Pair[];
  ranks: number[];
  across: number[];
  bends: [rank: number, across: number][][];
}

describe("the layout", () => {
  it.each(contract<Case[]>("layout"))("places $name as Python does", ({ count, edges, ranks, across, bends }) => {
    const placed = place(count, edges);

    expect(placed.ranks).toEqual(ranks);
    expect(placed.across).toEqual(across);
    expect(placed.bends.map((chain) => chain.map((bend: Bend) => [bend.rank, bend.across]))).toEqual(bends);
  });

  it("keeps nodes of one rank apart", () => {
    for (const { count, edges } of contract<Case[]>("layout")) {
      const { ranks, across } = place(count, edges);
      for (let one = 0; one < count; one++) {
        for (let other = one + 1; other < count; other++) {
          if (ranks[one] === ranks[other]) expect(Math.abs(across[one]! - across[other]!)).toBeGreaterThan(0.998);
        }
      }
    }
  });

  it("draws every edge from an earlier rank to a later one", () => {
    for (const { name, edges, ranks } of contract<Case[]>("layout")) {
      if (name === "a cycle draws") continue;
      for (const [source, target] of edges) expect(ranks[source]!).toBeLessThan(ranks[target]!);
    }
  });

  it("places 500 steps before anybody waits", () => {
    const { count, edges } = contract<Case[]>("layout").at(-1)!;
    const start = performance.now();
    place(count, edges);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe("the geometry", () => {
  const { graph } = sales("idle");
  const placement = placeGraph(graph);

  it("turns ranks into columns left to right and into rows top to bottom", () => {
    const [leftToRight, topToBottom] = (["LR", "TB"] as const).map((direction) => measure(graph, placement, direction));

    const columns = new Set(leftToRight!.nodes.map((node) => node.x));
    const rows = new Set(topToBottom!.nodes.map((node) => node.y));
    expect(columns.size).toBe(5);
    expect(rows.size).toBe(5);
    expect(leftToRight!.width).toBeGreaterThan(topToBottom!.width);
  });

  it("leaves out edges that others imply, and labels what leaves a step once", () => {
    const { edges } = measure(graph, placement, "LR");

    expect(edges.map(({ edge }) => [edge.source, edge.target])).toEqual([
      [0, 1],
      [1, 2],
      [1, 3],
      [3, 4],
      [2, 5],
      [3, 5],
      [4, 5],
    ]);
    expect(edges.map(({ label }) => label?.text ?? null)).toEqual([
      "orders",
      "orders",
      null,
      "months",
      "regions",
      null,
      null,
    ]);
  });

  it("reads left to right where there is room, and top to bottom where there is none", () => {
    expect(fittingDirection(graph, placement, 1600, 500)).toBe("LR");
    expect(fittingDirection(graph, placement, 420, 900)).toBe("TB");
  });
});
