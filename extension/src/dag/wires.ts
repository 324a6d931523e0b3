// The edges of the drawing with their labels, and those of one node drawn over them.
import { setAttribute, svg } from "./dom";
import { oneLine } from "./format";
import type { DrawnEdge, Geometry } from "./geometry";

// Past this number the edges of a kind are one path: what is that dense is read by lighting up one node's.
const SINGLE_UP_TO = 1500;

export class Wires {
  private readonly base = svg("g", { class: "szal-edges" });
  private readonly lit = svg("g", { class: "szal-lit" });
  private readonly labels = svg("g", { class: "szal-labels" });
  readonly node = svg("svg", { class: "szal-lines", "aria-hidden": "true" }, this.base, this.lit, this.labels);
  private edges: readonly DrawnEdge[] = [];

  draw({ edges, width, height }: Geometry): void {
    this.edges = edges;
    setAttribute(this.node, "width", String(width));
    setAttribute(this.node, "height", String(height));
    this.base.replaceChildren(...(edges.length <= SINGLE_UP_TO ? edges.map(wire) : joined(edges)));
    this.labels.replaceChildren(
      ...edges.flatMap(({ label }) =>
        label ? [svg("text", { x: label.x, y: label.y, "text-anchor": label.anchor }, oneLine(label.text, 24))] : [],
      ),
    );
  }

  /** Lights up the edges of a node; -1 puts all out. */
  light(node: number): void {
    const edges = node < 0 ? [] : this.edges.filter(({ edge }) => edge.source === node || edge.target === node);
    this.lit.replaceChildren(...edges.map(wire));
  }
}

const wire = ({ edge, path }: DrawnEdge): SVGPathElement =>
  svg("path", { class: `szal-edge is-${edge.kind}`, d: path });

function joined(edges: readonly DrawnEdge[]): SVGPathElement[] {
  const paths = new Map<string, string[]>();
  for (const { edge, path } of edges) {
    if (!paths.has(edge.kind)) paths.set(edge.kind, []);
    paths.get(edge.kind)!.push(path);
  }
  return [...paths].map(([kind, parts]) => svg("path", { class: `szal-edge is-${kind}`, d: parts.join("") }));
}
