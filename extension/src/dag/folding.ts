// Which nodes of the drawing stand for which steps: the steps themselves, or one node for all that share a tag.
import { type Grouping, group, groupTags, grouped } from "./grouping";
import type { Graph, Picture } from "./state";

// A flow of more steps than these begins grouped, where its steps have tags.
const GROUPED_FROM = 150;

export class Folding {
  private grouping: Grouping | null = null;

  get isFolded(): boolean {
    return this.grouping !== null;
  }

  /** What is drawn of `graph` with one node for each of `tags`. */
  fold(graph: Graph, tags: readonly string[]): Graph {
    this.grouping = tags.length ? group(graph, new Set(tags)) : null;
    return this.grouping?.graph ?? graph;
  }

  /** The tags by which a graph that was not seen before is folded. */
  tagsAtFirst(graph: Graph): readonly string[] {
    return graph.nodes.length > GROUPED_FROM ? groupTags(graph) : [];
  }

  /** The tags that fold all, or none where it is folded already. */
  otherTags(graph: Graph): readonly string[] {
    return this.grouping ? [] : groupTags(graph);
  }

  shown(picture: Picture): Picture {
    return this.grouping ? grouped(this.grouping, picture) : picture;
  }

  /** The node of the drawing that stands for a step. */
  shownOf(step: number): number {
    return step < 0 ? step : (this.grouping?.shownOf[step] ?? step);
  }

  stepOf(shown: number): number {
    return this.grouping?.stepsOf[shown]?.[0] ?? shown;
  }

  /** Of a group: its first step, and the tags that stay folded when it is opened; null of a step. */
  opening(shown: number): { first: number; left: readonly string[] } | null {
    const opened = this.grouping?.graph.nodes[shown];
    if (!opened?.members) return null;
    const left = this.grouping!.graph.nodes.flatMap((node) => (node.members && node !== opened ? [node.name] : []));
    return { first: opened.members[0]!, left };
  }
}
