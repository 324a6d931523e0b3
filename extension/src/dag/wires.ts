// The edges of the drawing with their labels, and those of one node drawn over them with the sizes of what flows.
import { setAttribute, svg } from "./dom";
import { formatShape, formatSize, oneLine } from "./format";
import type { DrawnEdge, Geometry } from "./geometry";
import type { Value } from "./state";

// Past this number the edges of a kind are one path: what is that dense is read by lighting up one node's.
const SINGLE_UP_TO = 1500;
// From the line of a label to the one below it.
const SIZE_BELOW = 17;
// About the width of a character of it.
const SIZE_CHAR = 5.7;

export class Wires {
  private readonly base = svg("g", { class: "szal-edges" });
  private readonly lit = svg("g", { class: "szal-lit" });
  private readonly labels = svg("g", { class: "szal-labels" });
  readonly node = svg("svg", { class: "szal-lines", "aria-hidden": "true" }, this.base, this.lit, this.labels);
  private edges: readonly DrawnEdge[] = [];
  private room = 0;

  draw({ edges, width, height, gap }: Geometry): void {
    this.edges = edges;
    this.room = Math.floor((gap - 20) / SIZE_CHAR);
    setAttribute(this.node, "width", String(width));
    setAttribute(this.node, "height", String(height));
    this.base.replaceChildren(...(edges.length <= SINGLE_UP_TO ? edges.map(wire) : joined(edges)));
    this.labels.replaceChildren(
      ...edges.flatMap(({ label }) =>
        label ? [svg("text", { x: label.x, y: label.y, "text-anchor": label.anchor }, oneLine(label.text, 24))] : [],
      ),
    );
  }

  /** Lights up the edges of a node; -1 puts all out. `valuesOf` a node are those that it gave. */
  light(node: number, valuesOf: (node: number) => readonly Value[]): void {
    const edges = node < 0 ? [] : this.edges.filter(({ edge }) => edge.source === node || edge.target === node);
    const sizes = new Map<string, SVGElement>();
    for (const { edge } of edges) {
      const label = this.labelOf(edge.source, edge.names ?? []);
      const said = sizesOf(edge.names ?? [], valuesOf(edge.source), label?.anchor === "start");
      if (label && said)
        sizes.set(
          `${label.x} ${label.y}`,
          plate(label, label.anchor === "start" ? fitting(said, this.room) : oneLine(said, 32)),
        );
    }
    this.lit.replaceChildren(...edges.map(wire), ...sizes.values());
  }

  /** The label that names what flows; edges that carry the same from one node share it. */
  private labelOf(source: number, names: readonly string[]): DrawnEdge["label"] {
    const wanted = names.join();
    const found = this.edges.find(
      ({ edge, label }) => label && edge.source === source && (edge.names ?? []).join() === wanted,
    );
    return found?.label ?? null;
  }
}

/** A shape in so many characters: what cannot stand between two nodes says the number alone. */
const fitting = (said: string, limit: number): string =>
  oneLine(said.length > limit ? said.replace(/ items?$/, "") : said, limit);

/** Text below a label, on a ground of its own: other edges may run there. */
function plate({ x, y, anchor }: NonNullable<DrawnEdge["label"]>, said: string): SVGElement {
  const width = said.length * SIZE_CHAR + 8;
  const left = anchor === "start" ? x - 4 : x - width / 2;
  return svg(
    "g",
    { class: "szal-size" },
    svg("rect", { x: left, y: y + SIZE_BELOW - 11, width, height: 15, rx: 4 }),
    svg("text", { x, y: y + SIZE_BELOW, "text-anchor": anchor }, said),
  );
}

/** Shape and size of each of these values, as far as they are known; where there is little room the first of them. */
function sizesOf(names: readonly string[], values: readonly Value[], isShort: boolean): string {
  return names
    .flatMap((name) => {
      const value = values.find((given) => given.name === name);
      if (!value) return [];
      const shape = value.shape?.length ? formatShape(value.shape) : "";
      const said = [shape, value.size ? formatSize(value.size) : ""].filter(Boolean);
      return [(isShort ? said.slice(0, 1) : said).join(" · ")];
    })
    .filter(Boolean)
    .join(", ");
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
