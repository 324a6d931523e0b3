// The line above the drawing: what flow, how it stands, the seam with one stitch a step, and the buttons of the run.
import { html, setAttribute, setText } from "./dom";
import { byParts, countLine, formatDuration, oneLine, stateWord } from "./format";
import { ACTION_ICONS, TOOL_ICONS, icon } from "./icons";
import { Seam } from "./seam";
import { type Action, type Graph, type Run, isOver, runAllows } from "./state";

const RUN_ACTIONS: readonly { action: Action; label: string }[] = [
  { action: "run", label: "Run" },
  { action: "pause", label: "Pause" },
  { action: "resume", label: "Resume" },
  { action: "cancel", label: "Cancel" },
];

export type Tool = "search" | "group" | "timeline" | "zoom_out" | "zoom_in" | "fit" | "turn";

export interface HeaderEvents {
  act(action: Action): void;
  tool(tool: Tool): void;
  search(text: string): void;
}

export class Header {
  readonly node: HTMLElement;
  readonly search: HTMLInputElement;
  private readonly title = html("strong", { class: "szal-title" });
  private readonly state = html("span", { class: "szal-state", role: "status" });
  private readonly said = html("span", { class: "szal-said" });
  private readonly seam = new Seam();
  private readonly buttons = new Map<Action, HTMLButtonElement>();

  constructor(events: HeaderEvents, actions: ReadonlySet<Action>) {
    const buttons = html("div", { class: "szal-actions", role: "group", "aria-label": "Run" });
    for (const { action, label } of RUN_ACTIONS) {
      if (!actions.has(action)) continue;
      const button = html(
        "button",
        { type: "button", class: "szal-button", "data-action": action },
        icon(ACTION_ICONS[action]),
        html("span", {}, label),
      );
      button.addEventListener("click", () => events.act(action));
      this.buttons.set(action, button);
      buttons.append(button);
    }
    this.search = html("input", {
      type: "search",
      class: "szal-search",
      placeholder: "Find a step",
      "aria-label": "Find a step",
      spellcheck: "false",
      "data-lm-suppress-shortcuts": "true",
    });
    this.search.addEventListener("input", () => events.search(this.search.value));
    const tools = html("div", { class: "szal-tools", role: "group", "aria-label": "View" }, this.search);
    const named: readonly (readonly [Tool, string])[] = [
      ["zoom_out", "Zoom out (-)"],
      ["zoom_in", "Zoom in (+)"],
      ["fit", "Show all (0)"],
      ["group", "Group steps by their tags (g)"],
      ["turn", "Turn: left to right, or top to bottom (t)"],
      ["timeline", "Timeline (l)"],
    ];
    for (const [tool, label] of named) {
      const button = html(
        "button",
        { type: "button", class: "szal-tool", "data-tool": tool, title: label, "aria-label": label },
        icon(TOOL_ICONS[tool]),
      );
      button.addEventListener("click", () => events.tool(tool));
      tools.append(button);
    }
    this.node = html(
      "div",
      { class: "szal-header" },
      html("div", { class: "szal-headline" }, this.title, this.state, this.said),
      html("div", { class: "szal-buttons" }, buttons, tools),
      this.seam.node,
    );
  }

  update(graph: Graph, run: Run, now: number): void {
    setText(this.title, oneLine(graph.flow, 60));
    const version = `version ${graph.version}${run.run ? `, run ${run.run}` : ""}`;
    setAttribute(this.title, "title", version);
    setText(
      this.state,
      run.cancelling ? "cancelling" : run.interrupted && !isOver(run.state) ? "interrupted" : stateWord(run.state),
    );
    setAttribute(this.state, "data-state", run.cancelling ? "cancelled" : run.state);
    setAttribute(this.state, "title", run.reason ?? "");
    this.tick(graph, run, now);
    for (const [action, button] of this.buttons) {
      button.hidden = !runAllows(action, run);
    }
    const again = this.buttons.get("run")?.querySelector("span");
    if (again) setText(again, run.state === "idle" ? "Run" : "Run again");
    this.seam.update(run.states);
  }

  tick(graph: Graph, run: Run, now: number): void {
    const said: string[] = [];
    if (run.state === "idle") said.push(`${graph.nodes.length} ${graph.nodes.length === 1 ? "step" : "steps"}`);
    else {
      said.push(countLine(run.counts, run.states.length));
      const end = isOver(run.state) ? run.ended : (run.ended ?? now);
      if (run.started && end) said.push(formatDuration(Math.max(0, end - run.started)));
    }
    setText(this.said, byParts(said.join(" · ")));
  }

  /** Shows a view's button as pressed. */
  press(tool: Tool, isPressed: boolean): void {
    const button = this.node.querySelector(`[data-tool="${tool}"]`);
    if (button) setAttribute(button, "aria-pressed", String(isPressed));
  }

  /** Shows a view's button only where it has something to do. */
  allow(tool: Tool, isAllowed: boolean): void {
    const button = this.node.querySelector<HTMLElement>(`[data-tool="${tool}"]`);
    if (button) button.hidden = !isAllowed;
  }

  button(action: Action): HTMLButtonElement | undefined {
    return this.buttons.get(action);
  }
}
