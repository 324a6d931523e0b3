// Which nodes are in sight, and which is under the pointer. Pure.
import type { View } from "./camera";
import { type Point, NODE_HEIGHT, NODE_WIDTH } from "./geometry";

const SLACK_PX = 2;

/** The nodes of which the window shows something. */
export function nodesIn(points: readonly Point[], { x, y, zoom, width, height }: View): number[] {
  const [left, top, right, bottom] = [-x / zoom, -y / zoom, (width - x) / zoom, (height - y) / zoom];
  return points.flatMap((point, node) =>
    point.x < right && point.y < bottom && point.x + NODE_WIDTH > left && point.y + NODE_HEIGHT > top ? [node] : [],
  );
}

/** The node at a point of the window; -1 where there is none. */
export function nodeAt(points: readonly Point[], { x, y, zoom }: View, left: number, top: number): number {
  const [across, down, slack] = [(left - x) / zoom, (top - y) / zoom, SLACK_PX / zoom];
  return points.findIndex(
    (point) =>
      across >= point.x - slack &&
      across <= point.x + NODE_WIDTH + slack &&
      down >= point.y - slack &&
      down <= point.y + NODE_HEIGHT + slack,
  );
}
