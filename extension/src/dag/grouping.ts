// Steps that share a tag as one node, so that a flow of hundreds is read as one of a few. Pure.
import { worstOf } from "./seam";
import { type Facts, type Graph, type GraphEdge, type Picture, type StepState, CODE_OF_STATE } from "./state";

const LEAST_MEMBERS = 3;
const MOST_NAMES = 3;
const OVER: ReadonlySet<string> = new Set(["c", "f", "s", "x", "b"]);

export interface Grouping {
  graph: Graph;
  /** The node that stands for each step. */
  shownOf: readonly number[];
  /** The steps that each node stands for. */
  stepsOf: readonly (readonly number[])[];
}

/** The tags by which steps can be grouped: those that enough steps have as their first such tag. */
export function groupTags(graph: Graph): string[] {
  const counts = new Map<string, number>();
  for (const node of graph.nodes) for (const tag of node.tags ?? []) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  return [...counts].flatMap(([tag, count]) => (count >= LEAST_MEMBERS ? [tag] : []));
}

/** `graph` with one node for each of `tags`; a step goes with its first tag among them. */
export function group(graph: Graph, tags: ReadonlySet<string>): Grouping {
  const places = new Map<string, number>();
  const stepsOf: number[][] = [];
  const tagOf: (string | undefined)[] = [];
  const shownOf = graph.nodes.map((node, step) => {
    const tag = node.tags?.find((found) => tags.has(found));
    const place = tag === undefined ? undefined : places.get(tag);
    if (place !== undefined) {
      stepsOf[place]!.push(step);
      return place;
    }
    if (tag !== undefined) places.set(tag, stepsOf.length);
    tagOf.push(tag);
    return stepsOf.push([step]) - 1;
  });
  const nodes = stepsOf.map((steps, at) => {
    const tag = tagOf[at];
    if (tag === undefined) return graph.nodes[steps[0]!]!;
    return { name: tag, kind: "group", source: null, reads: [], gives: [], members: [...steps] };
  });
  return { graph: { ...graph, nodes, edges: joined(graph.edges, shownOf) }, shownOf, stepsOf };
}

/** The picture of all steps as one of the nodes that stand for them. */
export function grouped({ graph, stepsOf }: Grouping, { run, facts }: Picture): Picture {
  let states = "";
  const shown: Record<string, Facts> = {};
  stepsOf.forEach((steps, node) => {
    if (graph.nodes[node]!.members === undefined) {
      const step = steps[0]!;
      states += run.states[step] ?? "p";
      if (facts[step]) shown[node] = facts[step];
      return;
    }
    const codes = steps.map((step) => run.states[step] ?? "p").join("");
    states += CODE_OF_STATE[stateOfGroup(codes)];
    shown[node] = factsOfGroup(steps, codes, facts);
  });
  return { graph, run: { ...run, states }, facts: shown };
}

/** A group that has begun and not ended is running, whatever its steps do at this moment. */
function stateOfGroup(codes: string): StepState {
  const worst = worstOf(codes, 0, codes.length);
  const hasBegun = [...codes].some((code) => code !== "p");
  return worst === "pending" && hasBegun ? "running" : worst;
}

function factsOfGroup(steps: readonly number[], codes: string, facts: Record<string, Facts>): Facts {
  const times = steps.map((step) => facts[step] ?? {});
  const started = times.flatMap((fact) => fact.started ?? []);
  const ended = times.flatMap((fact) => fact.ended ?? []);
  const done = [...codes].filter((code) => OVER.has(code)).length;
  const found: Facts = { done, total: steps.length };
  if (started.length) found.started = started.reduce((least, at) => Math.min(least, at));
  if (ended.length && done === steps.length) found.ended = ended.reduce((most, at) => Math.max(most, at));
  const error = times.find((fact) => fact.error)?.error;
  if (error !== undefined) found.error = error;
  return found;
}

function joined(edges: readonly GraphEdge[], shownOf: readonly number[]): GraphEdge[] {
  const found = new Map<string, GraphEdge>();
  for (const edge of edges) {
    const [source, target] = [shownOf[edge.source]!, shownOf[edge.target]!];
    if (source === target) continue;
    const key = `${source} ${target} ${edge.kind}`;
    const known = found.get(key);
    const names = [...new Set([...(known?.names ?? []), ...(edge.names ?? [])])].slice(0, MOST_NAMES);
    found.set(key, {
      ...edge,
      ...known,
      source,
      target,
      names,
      implied: Boolean(edge.implied && (known?.implied ?? true)),
    });
  }
  return [...found.values()];
}
