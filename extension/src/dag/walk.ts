// The way from node to node: by arrow keys along the edges or to the neighbour in the same rank, or by a search. Pure.
import type { Geometry } from "./geometry";
import type { Graph } from "./state";

/** The node that an arrow key leads to; -1 where there is none. */
export function neighbour(graph: Graph, { direction, placement }: Geometry, node: number, key: string): number {
  const { ranks, across } = placement;
  const far = (other: number): number =>
    Math.abs(across[other]! - across[node]!) + 2 * Math.abs(ranks[other]! - ranks[node]!);
  const nearest = (nodes: readonly number[]): number =>
    nodes.reduce((best, other) => (best < 0 || far(other) < far(best) ? other : best), -1);
  const isLeftToRight = direction === "LR";
  const [back, on] = isLeftToRight ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
  if (key === on) return nearest(graph.edges.flatMap((edge) => (edge.source === node ? [edge.target] : [])));
  if (key === back) return nearest(graph.edges.flatMap((edge) => (edge.target === node ? [edge.source] : [])));
  const isBefore = key === (isLeftToRight ? "ArrowUp" : "ArrowLeft");
  const isBeside = (other: number): boolean =>
    ranks[other] === ranks[node] && (isBefore ? across[other]! < across[node]! : across[other]! > across[node]!);
  return nearest(ranks.flatMap((_, other) => (isBeside(other) ? [other] : [])));
}

/** The steps with `text` in their name, their tags or the names that they give; none for an empty text. */
export function stepsWith(graph: Graph, text: string): number[] {
  const sought = text.trim().toLowerCase();
  if (!sought) return [];
  return graph.nodes.flatMap((node, at) =>
    [node.name, ...node.gives, ...(node.tags ?? [])].some((word) => word.toLowerCase().includes(sought)) ? [at] : [],
  );
}
