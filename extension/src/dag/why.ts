// Why a step stands where it does: what it waits for, what awaits it, and what would free it.
import { html } from "./dom";
import { oneLine } from "./format";
import { heading, note } from "./prose";
import type { Graph, GraphEdge } from "./state";

export function why(graph: Graph, step: number, select: (step: number) => void): Node[] {
  const before = graph.edges.filter((edge) => edge.target === step);
  const after = graph.edges.filter((edge) => edge.source === step);
  const item = (edge: GraphEdge, other: number): HTMLElement => {
    const jump = html("button", { type: "button", class: "szal-link" }, oneLine(graph.nodes[other]!.name, 60));
    jump.addEventListener("click", () => select(other));
    const kind = edge.kind === "data" ? (edge.names ?? []).join(", ") : edge.kind === "doubt" ? "in doubt" : edge.kind;
    const line = html(
      "li",
      { class: `is-${edge.kind}` },
      jump,
      html("span", { class: "szal-kind" }, oneLine(kind, 80)),
    );
    if (edge.reason) line.append(html("p", {}, oneLine(edge.reason, 400)));
    if (edge.remedy)
      line.append(html("p", { class: "szal-quiet" }, "To free it: ", html("code", {}, oneLine(edge.remedy, 120))));
    return line;
  };
  const notes = graph.nodes[step]!.notes ?? [];
  const parts: Node[] = notes.map((text) => note(text));
  if (before.length)
    parts.push(
      heading("Waits for"),
      html("ul", { class: "szal-why" }, ...before.map((edge) => item(edge, edge.source))),
    );
  if (after.length)
    parts.push(
      heading("Awaited by"),
      html("ul", { class: "szal-why" }, ...after.map((edge) => item(edge, edge.target))),
    );
  if (!parts.length)
    parts.push(html("p", { class: "szal-quiet" }, "No other step depends on it, and it depends on none."));
  return parts;
}
