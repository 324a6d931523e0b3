// The picture as a whole: header, drawing, panel. Knows neither anywidget nor JupyterLab; its host carries commands.
import { html, setAttribute } from "./dom";
import { stateWord } from "./format";
import { Header, type Tool } from "./header";
import { type Frame, History } from "./history";
import type { TimedAttempt } from "./lanes";
import { Panel } from "./panel";
import { PendingCommands } from "./pending";
import { Scene } from "./scene";
import { type Action, type Details, type Picture, isOver, stateOf } from "./state";
import { css } from "./style";
import { followTheme } from "./theme";
import { Timeline } from "./timeline";

const TICK_MS = 200;
const PANEL_WIDTH = 350;
const LEAST_HEIGHT = 120;
const LEAST_HEIGHT_WITH_PANEL = 360;
const MOST_HEIGHT = 520;

/** What carries commands to whoever runs the flow. Without a host the picture only shows. */
export interface Host {
  /** Sends a command; its id comes back in `acknowledged` and, if it is not obeyed, in `refused`. */
  send(action: Action, step: string | null): number;
  /** Asks for the details of a step; they come by `setDetails`. */
  askDetails(step: string): void;
  /** Asks for the attempts and, where there is a record, the frames of the run; they come by `setHistory`. */
  askHistory(): void;
  /** Jumps to where the step is written; absent where that is not possible. */
  openStep?(step: string): void;
}

export class DagView {
  readonly node: HTMLElement;
  private readonly header: Header;
  private readonly scene: Scene;
  private readonly panel: Panel;
  private readonly timeline: Timeline;
  private readonly message = html("p", { class: "szal-message", role: "alert", hidden: true });
  private readonly body: HTMLElement;
  private picture: Picture | null = null;
  private latest: Picture | null = null;
  private frame = 0;
  private clock: ReturnType<typeof setInterval> | null = null;
  private lead = 0;
  private frozenAt: number | null = null;
  private history: History | null = null;
  private historyOf = "";
  private attempts: readonly TimedAttempt[] = [];
  private past: number | null = null;
  private width = 0;
  private readonly pending: PendingCommands;
  private readonly stops: (() => void)[] = [];

  constructor(
    private readonly host: Host | null = null,
    actions: Iterable<Action> = [],
  ) {
    const allowed = new Set(host ? actions : []);
    this.header = new Header(
      { act: (action) => this.act(action, null), tool: (tool) => this.use(tool), search: (text) => this.find(text) },
      allowed,
    );
    this.scene = new Scene(
      {
        select: (node) => this.select(node),
        open: (node) => this.openStep(node),
        act: (action, node) => this.act(action, node),
      },
      allowed,
    );
    this.panel = new Panel(
      { act: (action, node) => this.act(action, node), select: (node) => this.select(node), close: () => this.close() },
      allowed,
    );
    this.timeline = new Timeline({ select: (node) => this.select(node), moveTo: (position) => this.moveTo(position) });
    this.pending = new PendingCommands({
      buttons: (action, node) =>
        (node === null
          ? [this.header.button(action)]
          : [this.panel.button(action), this.scene.quickButton(node, action)]
        ).filter((button) => button !== undefined),
      stand: (node) => this.stand(node),
      unanswered: () => this.setConnected(false),
    });
    this.body = html("div", { class: "szal-body" }, this.scene.node, this.panel.node);
    this.node = html(
      "div",
      { class: "szal-dag", role: "region", "aria-label": "Flow", "data-run": "", "data-run-state": "idle" },
      html("style", {}, css),
      this.header.node,
      this.message,
      this.body,
      this.timeline.node,
    );
    const key = (event: KeyboardEvent): void => this.key(event);
    this.node.addEventListener("keydown", key);
    const watcher = new ResizeObserver(() => this.resized());
    watcher.observe(this.node);
    this.stops.push(() => watcher.disconnect());
  }

  /** To be called once the node is in its document: follows the page's theme from then on. */
  attached(): void {
    this.stops.push(followTheme(this.node));
    this.resized();
  }

  /** Shows `picture` in the next frame; of several in one frame only the last is drawn. */
  update(picture: Picture): void {
    this.latest = picture;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.latest) return;
      this.draw(this.past !== null && this.history ? this.history.at(this.past) : this.latest);
      this.followTimeline();
    });
  }

  /** The kernel's clock as told by a message that has just come. */
  setClock(now: number): void {
    const lead = now - Date.now() / 1000;
    this.lead = Math.abs(lead) < 1 ? 0 : lead;
  }

  /** Stops the clock at `now`: for a picture of what was. */
  freeze(now: number): void {
    this.frozenAt = now;
  }

  setDetails(details: Details): void {
    this.panel.setDetails(details);
  }

  /** The attempts and frames of the run so far. `frames` is empty where no record is kept. */
  setHistory(attempts: readonly TimedAttempt[], frames: readonly Frame[]): void {
    const graph = this.latest?.graph;
    if (!graph) return;
    this.attempts = attempts;
    this.historyOf = this.standOfRun();
    this.history = frames.length ? new History(graph, frames, this.latest?.run.run ?? null) : null;
    this.timeline.update(graph, attempts, this.now);
    this.timeline.setHistory(this.history);
  }

  showTimeline(isShown: boolean): void {
    this.timeline.node.hidden = !isShown;
    this.header.press("timeline", isShown);
    if (!isShown) {
      this.moveTo(null);
      return;
    }
    this.host?.askHistory();
    this.timeline.draw();
  }

  acknowledged(id: number): void {
    this.pending.acknowledged(id);
  }

  refused(id: number | null, text: string): void {
    if (id !== null) this.pending.settle(id);
    this.say(text);
  }

  /** Says that the kernel does not answer (buttons rest until it does), or that it does again. */
  setConnected(isConnected: boolean): void {
    if (this.node.classList.contains("is-lost") !== isConnected) return;
    this.node.classList.toggle("is-lost", !isConnected);
    for (const button of this.node.querySelectorAll<HTMLButtonElement>("button[data-action]"))
      button.disabled = !isConnected;
    this.say(isConnected ? "" : this.farewell());
  }

  /** What to know of a picture whose kernel is silent. */
  private farewell(): string {
    const run = this.latest?.run;
    if (!run || run.state === "idle" || run.state === "completed")
      return "No kernel answers for this picture: it is as it was saved.";
    const resume = `%szal_resume${run.run ? ` ${run.run}` : ""} goes on from the last completed step.`;
    if (isOver(run.state)) return `No kernel answers for this picture: it is as it was saved. ${resume}`;
    return `The kernel does not answer: it is busy with a cell, or it was restarted. This is the last state it told. After a restart, ${resume}`;
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    if (this.clock !== null) clearInterval(this.clock);
    this.pending.dispose();
    for (const stop of this.stops) stop();
    this.scene.dispose();
    this.timeline.dispose();
    this.node.remove();
  }

  private get now(): number {
    // In the past no time goes by.
    if (this.past !== null && this.history) return this.history.timeOf(this.past);
    return this.frozenAt ?? Date.now() / 1000 + this.lead;
  }

  private draw(picture: Picture): void {
    const { graph, run } = picture;
    const isNew = this.picture?.graph !== graph;
    this.picture = picture;
    setAttribute(this.node, "data-run", run.run ?? "");
    setAttribute(this.node, "data-run-state", run.state);
    setAttribute(this.node, "aria-label", `Flow ${graph.flow}, ${stateWord(run.state)}`);
    if (isNew) {
      this.scene.setGraph(graph);
      this.find(this.header.search.value);
    }
    this.header.update(graph, run, this.now);
    this.scene.update(picture, this.now);
    if (this.past !== null) this.scene.tick(this.now);
    this.panel.isPast = this.past !== null;
    if (this.panel.isOpen) this.panel.update(picture, this.now);
    if (isNew) {
      this.width = 0;
      this.resized();
    }
    this.pending.confirm();
    this.wind();
    if (this.node.classList.contains("is-lost")) {
      for (const button of this.node.querySelectorAll<HTMLButtonElement>("button[data-action]")) button.disabled = true;
    }
  }

  private standOfRun(): string {
    const run = this.latest?.run;
    return `${run?.run}/${run?.state}/${run?.states}`;
  }

  /** An open timeline is asked for anew when a state changed since it was drawn. */
  private followTimeline(): void {
    if (this.timeline.node.hidden || this.past !== null || this.historyOf === this.standOfRun()) return;
    this.historyOf = this.standOfRun();
    this.host?.askHistory();
  }

  private moveTo(position: number | null): void {
    if (this.past === position) return;
    this.past = position;
    this.node.classList.toggle("is-past", position !== null);
    if (this.latest) this.update(this.latest);
  }

  /** Runs the clock while something is going on. */
  private wind(): void {
    const state = this.picture?.run.state;
    const isGoing = (state === "running" || state === "paused") && this.frozenAt === null;
    if (isGoing && this.clock === null) this.clock = setInterval(() => this.tick(), TICK_MS);
    if (!isGoing && this.clock !== null) {
      clearInterval(this.clock);
      this.clock = null;
    }
  }

  private tick(): void {
    if (document.hidden || this.past !== null || !this.picture || this.node.classList.contains("is-lost")) return;
    this.scene.tick(this.now);
    this.header.tick(this.picture.graph, this.picture.run, this.now);
    this.panel.tick(this.now);
    if (!this.timeline.node.hidden) this.timeline.update(this.picture.graph, this.attempts, this.now);
  }

  private resized(): void {
    const width = this.node.clientWidth;
    if (!width) return;
    const isNarrow = width < 680;
    this.node.classList.toggle("is-narrow", isNarrow);
    this.scene.camera.covered = this.panel.isOpen && !isNarrow ? PANEL_WIDTH : 0;
    const least = this.scene.camera.covered ? LEAST_HEIGHT_WITH_PANEL : LEAST_HEIGHT;
    const height = Math.round(Math.min(MOST_HEIGHT, Math.max(least, this.scene.wantedHeight(width))));
    this.scene.node.style.height = `${height}px`;
    // The panel lies over the drawing, which stays where it is.
    if (width === this.width) return;
    this.width = width;
    this.scene.resized();
    this.timeline.draw();
  }

  private select(node: number): void {
    if (!this.picture) return;
    this.panel.open(node, this.picture, this.now);
    this.host?.askDetails(this.picture.graph.nodes[node]!.name);
    this.resized();
    this.scene.select(node);
    this.timeline.select(node);
  }

  private close(): void {
    if (!this.panel.isOpen || !this.picture) return;
    this.panel.close();
    this.scene.select(-1);
    this.timeline.select(-1);
    this.resized();
  }

  private openStep(node: number): void {
    const name = this.picture?.graph.nodes[node]?.name;
    if (name !== undefined) this.host?.openStep?.(name);
  }

  private use(tool: Tool): void {
    if (tool === "zoom_in") this.scene.camera.zoomBy(1.25);
    else if (tool === "zoom_out") this.scene.camera.zoomBy(0.8);
    else if (tool === "fit") this.scene.fit();
    else if (tool === "timeline") this.showTimeline(Boolean(this.timeline.node.hidden));
    else if (tool === "search") this.header.search.focus();
    else {
      this.scene.turn();
      this.width = 0;
      this.resized();
    }
  }

  private find(text: string): void {
    const graph = this.picture?.graph;
    if (!graph) return;
    const sought = text.trim().toLowerCase();
    const found = graph.nodes.flatMap((node, at) =>
      [node.name, ...node.gives, ...(node.tags ?? [])].some((word) => word.toLowerCase().includes(sought)) ? [at] : [],
    );
    this.scene.mark(sought ? new Set(found) : null);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isTyping = event.target === this.header.search;
    if (event.key === "Escape") {
      if (isTyping && this.header.search.value) {
        this.header.search.value = "";
        this.find("");
      } else this.close();
    } else if (isTyping) {
      // Keys typed here are text, not the notebook's shortcuts.
      if (event.key === "Enter") this.goToFound();
    } else {
      const tools: Record<string, Tool> = {
        "+": "zoom_in",
        "=": "zoom_in",
        "-": "zoom_out",
        "0": "fit",
        t: "turn",
        l: "timeline",
        "/": "search",
      };
      const tool = tools[event.key];
      if (!tool) {
        // A key typed at a node must not cut or move the notebook's cell; with modifiers it is the notebook's.
        if (!event.shiftKey && (event.key === "Enter" || event.key.length === 1)) event.stopPropagation();
        return;
      }
      event.preventDefault();
      this.use(tool);
    }
    event.stopPropagation();
  }

  private goToFound(): void {
    const first = this.node.querySelector<HTMLElement>(".szal-node:not(.is-dim)");
    if (first && this.header.search.value) this.scene.focus(Number(first.dataset["node"]));
  }

  private act(action: Action, node: number | null): void {
    if (!this.host || !this.picture) return;
    if (this.pending.has(action, node)) return;
    this.say("");
    const step = node === null ? null : (this.picture.graph.nodes[node]?.name ?? null);
    this.pending.sent(this.host.send(action, step), action, node);
  }

  /** What an action is expected to change. */
  private stand(node: number | null): string {
    const run = this.picture!.run;
    return `${run.run}/${run.state}/${run.cancelling ?? false}/${node === null ? "" : `${stateOf(run, node)}/${this.picture!.facts[node]?.attempts ?? 0}`}`;
  }

  private say(text: string): void {
    this.message.textContent = text.slice(0, 1000);
    this.message.hidden = !text;
  }
}
