// Ranks and positions across become points: sizes, direction, curves, where labels sit. Pure.
import { type Placement, place } from "./layout";
import type { Graph, GraphEdge } from "./state";

export const NODE_WIDTH = 200;
export const NODE_HEIGHT = 48;
const ROW_GAP = 20;
const MARGIN = 20;
const LABEL_CHAR = 6.3;
const LABELS_UP_TO = 150;
const BETTER_TOP_DOWN = 1.3;

export type Direction = "LR" | "TB";

export interface Point {
  x: number;
  y: number;
}

export interface DrawnEdge {
  edge: GraphEdge;
  path: string;
  label: (Point & { text: string; anchor: "start" | "middle" | "end" }) | null;
}

export interface Geometry {
  direction: Direction;
  placement: Placement;
  nodes: Point[];
  /** Between one rank and the next. */
  gap: number;
  edges: DrawnEdge[];
  width: number;
  height: number;
}

export const placeGraph = (graph: Graph): Placement =>
  place(
    graph.nodes.length,
    drawnEdges(graph).map((edge) => [edge.source, edge.target] as const),
  );

/** Left to right, as one reads, unless top to bottom shows clearly larger in the room that there is. */
export function fittingDirection(graph: Graph, placement: Placement, width: number, height: number): Direction {
  const zoom = ({ width: wide, height: high }: Geometry): number => Math.min(1, width / wide, height / high);
  const [across, down] = (["LR", "TB"] as const).map((direction) => zoom(measure(graph, placement, direction)));
  return down! > across! * BETTER_TOP_DOWN ? "TB" : "LR";
}

/** How far back the nodes must go, on average, to be where those of their names were; null where none of them was. */
export function meanMove(was: ReadonlyMap<string, Point | undefined>, graph: Graph, now: Geometry): Point | null {
  let count = 0;
  const sum = { x: 0, y: 0 };
  graph.nodes.forEach(({ name }, number) => {
    const before = was.get(name);
    if (!before) return;
    count += 1;
    sum.x += before.x - now.nodes[number]!.x;
    sum.y += before.y - now.nodes[number]!.y;
  });
  return count ? { x: sum.x / count, y: sum.y / count } : null;
}

const drawnEdges = (graph: Graph): GraphEdge[] => graph.edges.filter((edge) => !edge.implied);

const labelOf = (edge: GraphEdge): string => {
  const text = (edge.names ?? []).join(", ");
  return text.length <= 24 ? text : `${text.slice(0, 23)}…`;
};

export function measure(graph: Graph, placement: Placement, direction: Direction): Geometry {
  const edges = drawnEdges(graph);
  const isLeftToRight = direction === "LR";
  const hasLabels = graph.nodes.length <= LABELS_UP_TO;
  const longest = hasLabels ? Math.max(0, ...edges.map((edge) => labelOf(edge).length)) : 0;
  const rankGap = isLeftToRight ? Math.min(136, Math.max(64, longest * LABEL_CHAR + 34)) : 64;
  const corner = (rank: number, across: number): Point =>
    isLeftToRight
      ? { x: MARGIN + rank * (NODE_WIDTH + rankGap), y: MARGIN + across * (NODE_HEIGHT + ROW_GAP) }
      : { x: MARGIN + across * (NODE_WIDTH + ROW_GAP), y: MARGIN + rank * (NODE_HEIGHT + rankGap) };
  const entry = (rank: number, across: number): Point => {
    const at = corner(rank, across);
    return isLeftToRight ? { x: at.x, y: at.y + NODE_HEIGHT / 2 } : { x: at.x + NODE_WIDTH / 2, y: at.y };
  };
  const exit = (rank: number, across: number): Point => {
    const at = entry(rank, across);
    return isLeftToRight ? { x: at.x + NODE_WIDTH, y: at.y } : { x: at.x, y: at.y + NODE_HEIGHT };
  };
  const curve = (from: Point, to: Point): string => {
    if (isLeftToRight) {
      const half = round((from.x + to.x) / 2);
      return `C${half} ${round(from.y)} ${half} ${round(to.y)} ${round(to.x)} ${round(to.y)}`;
    }
    const half = round((from.y + to.y) / 2);
    return `C${round(from.x)} ${half} ${round(to.x)} ${half} ${round(to.x)} ${round(to.y)}`;
  };
  const leaving = new Map<number, Set<string>>();
  for (const edge of edges) {
    const label = labelOf(edge);
    if (!label) continue;
    if (!leaving.has(edge.source)) leaving.set(edge.source, new Set());
    leaving.get(edge.source)!.add(label);
  }
  const labelled = new Set<number>();
  const drawn = edges.map((edge, number): DrawnEdge => {
    const from = exit(placement.ranks[edge.source]!, placement.across[edge.source]!);
    const to = entry(placement.ranks[edge.target]!, placement.across[edge.target]!);
    let at = from;
    let firstEnd: Point | null = null;
    let path = `M${round(from.x)} ${round(from.y)}`;
    for (const bend of placement.bends[number] ?? []) {
      const into = entry(bend.rank, bend.across);
      const out = exit(bend.rank, bend.across);
      firstEnd ??= into;
      path += `${curve(at, into)}L${round(out.x)} ${round(out.y)}`;
      at = out;
    }
    firstEnd ??= to;
    path += curve(at, to);
    const text = labelOf(edge);
    let label: DrawnEdge["label"] = null;
    if (hasLabels && text) {
      if (leaving.get(edge.source)!.size > 1) {
        const middle = { x: (from.x + firstEnd.x) / 2, y: (from.y + firstEnd.y) / 2 };
        label = { x: middle.x, y: middle.y + 3.5, text, anchor: "middle" };
      } else if (!labelled.has(edge.source)) {
        labelled.add(edge.source);
        label = isLeftToRight
          ? { x: from.x + 8, y: from.y - 6, text, anchor: "start" }
          : { x: from.x, y: from.y + 19, text, anchor: "middle" };
      }
    }
    return { edge, path, label };
  });
  const span = (placement.depth - 1) * rankGap;
  return {
    direction,
    placement,
    nodes: placement.ranks.map((rank, node) => corner(rank, placement.across[node]!)),
    gap: rankGap,
    edges: drawn,
    width:
      2 * MARGIN +
      (isLeftToRight ? placement.depth * NODE_WIDTH + span : placement.breadth * (NODE_WIDTH + ROW_GAP) + NODE_WIDTH),
    height:
      2 * MARGIN +
      (isLeftToRight
        ? placement.breadth * (NODE_HEIGHT + ROW_GAP) + NODE_HEIGHT
        : placement.depth * NODE_HEIGHT + span),
  };
}

const round = (value: number): number => Math.round(value * 10) / 10;
