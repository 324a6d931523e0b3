// The steps as a list, in the order of the notebook: readable where the drawing is small, and the way to their cells.
import { html, setAttribute, setText } from "../dag/dom";
import { factLine, oneLine, timeTold } from "../dag/format";
import { STATE_ICONS, icon, setIcon } from "../dag/icons";
import { type Graph, type Picture, stateOf } from "../dag/state";

interface Line {
  button: HTMLButtonElement;
  icon: SVGSVGElement;
  fact: HTMLElement;
  time: HTMLElement;
}

const MOST_LINES = 500;

export class StepList {
  readonly node: HTMLDetailsElement;
  private readonly summary = html("summary");
  private readonly list = html("ol");
  private lines: Line[] = [];
  private graph: Graph | null = null;

  constructor(private readonly open: (step: string) => void) {
    this.node = html("details", { class: "szal-steps", open: true }, this.summary, this.list);
  }

  update(picture: Picture | null): void {
    this.node.hidden = picture === null;
    if (!picture) return;
    const { graph, run } = picture;
    if (graph !== this.graph) this.build(graph);
    const now = Date.now() / 1000;
    const isIdle = run.state === "idle";
    setText(this.summary, graph.nodes.length === 1 ? "1 step" : `${graph.nodes.length} steps`);
    this.lines.forEach((line, number) => {
      const state = stateOf(run, number);
      const facts = picture.facts[number] ?? {};
      setAttribute(line.button, "data-state", state);
      setIcon(line.icon, STATE_ICONS[state]);
      // That it completed, its icon says.
      setText(line.fact, isIdle ? "" : factLine(state, facts).replace(/^completed( · )?/, ""));
      setAttribute(
        line.button,
        "aria-label",
        `${graph.nodes[number]!.name}: ${isIdle ? "not run yet" : factLine(state, facts)}`,
      );
      setText(line.time, timeTold(run, state, facts, now));
    });
  }

  private build(graph: Graph): void {
    this.graph = graph;
    this.lines = graph.nodes.slice(0, MOST_LINES).map((node) => {
      const mark = icon(STATE_ICONS.pending);
      const fact = html("span", { class: "szal-step-fact" });
      const time = html("span", { class: "szal-step-time" });
      const name = html("span", { class: "szal-step-name" }, oneLine(node.name, 60));
      const button = html("button", { type: "button", title: "Go to its cell" }, mark, name, fact, time);
      button.addEventListener("click", () => this.open(node.name));
      return { button, icon: mark, fact, time };
    });
    const more = graph.nodes.length - this.lines.length;
    this.list.replaceChildren(
      ...this.lines.map(({ button }) => html("li", {}, button)),
      ...(more > 0 ? [html("li", { class: "szal-hint" }, `and ${more} more: open the DAG in a tab`)] : []),
    );
  }
}
