// The picture as a whole: header, drawing, panel. Knows neither anywidget nor JupyterLab; its host carries commands.
import { Connection } from "./connection";
import { html, setAttribute } from "./dom";
import { stateWord } from "./format";
import { Header, type Tool } from "./header";
import { Focus } from "./focus";
import { Folding } from "./folding";
import { groupTags } from "./grouping";
import type { Frame } from "./history";
import type { Host, Memory } from "./host";
import { listenToKeys } from "./keys";
import type { TimedAttempt } from "./lanes";
import { Panel } from "./panel";
import { PendingCommands } from "./pending";
import { Scene } from "./scene";
import { type Action, type Details, type Graph, type LogPiece, type Picture, stateOf } from "./state";
import { css } from "./style";
import { followTheme } from "./theme";
import { Travel } from "./travel";
import { stepsWith } from "./walk";

const TICK_MS = 200;
const PANEL_WIDTH = 350;
const LEAST_HEIGHT = 120;
const LEAST_HEIGHT_WITH_PANEL = 360;
const MOST_HEIGHT = 520;

export class DagView {
  readonly node: HTMLElement;
  private readonly header: Header;
  private readonly scene: Scene;
  private readonly panel: Panel;
  private readonly travel: Travel;
  private readonly connection = new Connection(() => this.node);
  private readonly body: HTMLElement;
  private readonly focus: Focus;
  private picture: Picture | null = null;
  private latest: Picture | null = null;
  private frame = 0;
  private clock: ReturnType<typeof setInterval> | null = null;
  private lead = 0;
  private frozenAt: number | null = null;
  private readonly folding = new Folding();
  private toRestore: Memory | null = null;
  private different: ReadonlySet<string> = new Set();
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
        select: (node) => this.selectShown(node),
        open: (node) => this.openStep(node),
        act: (action, node) => this.act(action, this.folding.stepOf(node)),
      },
      allowed,
    );
    this.panel = new Panel(
      { act: (action, node) => this.act(action, node), select: (node) => this.select(node), close: () => this.close() },
      allowed,
    );
    this.travel = new Travel({
      select: (node) => this.select(node),
      ask: (since) => this.host?.askHistory(since),
      moved: () => this.moved(),
    });
    this.pending = new PendingCommands({
      buttons: (action, node) =>
        (node === null
          ? [this.header.button(action)]
          : [this.panel.button(action), this.scene.quickButton(this.folding.shownOf(node), action)]
        ).filter((button) => button !== undefined),
      stand: (node) => this.stand(node),
      unanswered: () => (this.host?.unanswered ? this.host.unanswered() : this.setConnected(false)),
    });
    this.body = html("div", { class: "szal-body" }, this.scene.node, this.panel.node);
    this.node = html(
      "div",
      { class: "szal-dag", role: "region", "aria-label": "Flow", "data-run": "", "data-run-state": "idle" },
      html("style", {}, css),
      this.header.node,
      this.connection.message,
      this.body,
      this.travel.timeline.node,
    );
    this.focus = new Focus(this.node);
    listenToKeys(this.node, this.header.search, {
      use: (tool) => this.use(tool),
      close: () => this.close(),
      seek: () => this.goToFound(),
      clear: () => this.find(""),
    });
    const watcher = new ResizeObserver(() => this.resized());
    watcher.observe(this.node);
    this.stops.push(() => watcher.disconnect());
  }

  /** To be called once the node is in its document: follows the page's theme from then on. */
  attached(): void {
    this.stops.push(followTheme(this.node, () => this.panel.redraw()));
    this.resized();
  }

  get memory(): Memory {
    return {
      step: this.panel.step,
      tab: this.panel.tab,
      isTimelineOpen: !this.travel.timeline.node.hidden,
      focus: this.focus.words,
      camera: this.scene.camera.isFitted ? null : this.scene.camera.view,
    };
  }

  /** Once something is shown, it is shown as in another view of it before. */
  restore(memory: Memory): void {
    this.toRestore = memory;
  }

  /** Shows `picture` in the next frame; of several in one frame only the last is drawn. */
  update(picture: Picture): void {
    this.latest = picture;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.latest) return;
      this.travel.follow(this.latest);
      this.draw(this.travel.at(this.latest));
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

  /** What is shown, once something is. */
  get graph(): Graph | null {
    return this.latest?.graph ?? null;
  }

  /** Marks the steps that are not as they are in the run beside it. */
  markDifferent(names: ReadonlySet<string>): void {
    this.different = names;
    if (this.picture) this.scene.markDifferent(names);
  }

  setLog(step: string, pieces: readonly LogPiece[]): void {
    this.panel.setLog(step, pieces);
  }

  /** The attempts of the run so far, and its frames from number `first` on; none at all where no record is kept. */
  setHistory(attempts: readonly TimedAttempt[], frames: readonly Frame[], first = 0): void {
    this.travel.set(attempts, frames, first, this.now);
  }

  showTimeline(isShown: boolean): void {
    this.header.press("timeline", isShown);
    this.travel.open(isShown);
  }

  acknowledged(id: number): void {
    this.pending.acknowledged(id);
  }

  refused(id: number | null, text: string): void {
    if (id !== null) this.pending.settle(id);
    this.connection.say(text);
  }

  /** Says that the kernel does not answer (buttons rest until it does), or that it does again. */
  setConnected(isConnected: boolean): void {
    this.connection.set(isConnected, this.latest?.run);
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    if (this.clock !== null) clearInterval(this.clock);
    this.pending.dispose();
    for (const stop of this.stops) stop();
    this.scene.dispose();
    this.travel.dispose();
    this.node.remove();
  }

  private get now(): number {
    // In the past no time goes by.
    return this.travel.moment ?? this.frozenAt ?? Date.now() / 1000 + this.lead;
  }

  private draw(picture: Picture): void {
    const { graph, run } = picture;
    const isNew = this.picture?.graph !== graph;
    this.picture = picture;
    setAttribute(this.node, "data-run", run.run ?? "");
    setAttribute(this.node, "data-run-state", run.state);
    setAttribute(this.node, "aria-label", `Flow ${graph.flow}, ${stateWord(run.state)}`);
    if (isNew) this.groupBy(this.folding.tagsAtFirst(graph));
    this.header.update(graph, run, this.now);
    // First its place, for what is seen from afar has less to draw.
    if (isNew) {
      this.width = 0;
      this.resized();
    }
    this.scene.update(this.folding.shown(picture), this.now);
    const { moment } = this.travel;
    if (moment !== null) this.scene.tick(this.now);
    this.panel.past = moment;
    this.panel.present = this.latest?.run ?? picture.run;
    if (this.panel.isOpen) this.panel.update(picture, this.now);
    this.pending.confirm();
    this.wind();
    if (this.toRestore) this.goOn(this.toRestore);
    if (this.connection.isLost) this.connection.settle();
  }

  private goOn({ step, tab, isTimelineOpen, focus, camera }: Memory): void {
    this.toRestore = null;
    if (isTimelineOpen) this.showTimeline(true);
    this.panel.tab = tab;
    if (step >= 0) this.select(step, { reveal: false });
    if (camera) this.scene.camera.place(camera);
    else this.scene.fit();
    this.focus.restore(focus);
  }

  /** One node for each of these tags, from now on. */
  private groupBy(tags: readonly string[]): void {
    const graph = this.picture!.graph;
    const isOther = tags.length > 0 || this.folding.isFolded;
    this.scene.setGraph(this.folding.fold(graph, tags), { isOther });
    this.scene.markDifferent(this.different);
    this.header.allow("group", groupTags(graph).length > 0);
    this.header.press("group", this.folding.isFolded);
    this.find(this.header.search.value);
    this.width = 0;
  }

  private regroup(tags: readonly string[]): void {
    if (!this.picture) return;
    this.groupBy(tags);
    this.draw(this.picture);
    this.resized();
    this.scene.select(this.panel.isOpen ? this.folding.shownOf(this.panel.step) : -1, { reveal: false });
  }

  /** A click on a group shows its steps. */
  private selectShown(shown: number): void {
    const opening = this.folding.opening(shown);
    if (!opening) {
      this.select(this.folding.stepOf(shown));
      return;
    }
    this.regroup(opening.left);
    this.scene.focus(this.folding.shownOf(opening.first));
  }

  private moved(): void {
    const isPast = this.travel.moment !== null;
    this.node.classList.toggle("is-past", isPast);
    if (isPast && this.panel.isOpen) this.askPast();
    if (this.latest) this.update(this.latest);
  }

  private askPast(): void {
    const name = this.picture?.graph.nodes[this.panel.step]?.name;
    if (name !== undefined && this.panel.lacksLog) this.host?.askLog?.(name);
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
    if (document.hidden || this.travel.moment !== null || !this.picture || this.connection.isLost) return;
    this.scene.tick(this.now);
    this.header.tick(this.picture.graph, this.picture.run, this.now);
    this.panel.tick(this.now);
    this.travel.tick(this.now);
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
    this.travel.timeline.draw();
  }

  private select(node: number, { reveal = true } = {}): void {
    if (!this.picture) return;
    this.panel.open(node, this.picture, this.now);
    this.host?.askDetails(this.picture.graph.nodes[node]!.name);
    if (this.travel.moment !== null) this.askPast();
    this.resized();
    this.scene.select(this.folding.shownOf(node), { reveal });
    this.travel.timeline.select(node);
  }

  private close(): void {
    if (!this.panel.isOpen || !this.picture) return;
    this.panel.close();
    this.scene.select(-1);
    this.travel.timeline.select(-1);
    this.resized();
    this.scene.settle();
  }

  private openStep(shown: number): void {
    const name = this.picture?.graph.nodes[this.folding.stepOf(shown)]?.name;
    if (name !== undefined) this.host?.openStep?.(name);
  }

  private use(tool: Tool): void {
    if (tool === "zoom_in") this.scene.camera.zoomBy(1.25);
    else if (tool === "zoom_out") this.scene.camera.zoomBy(0.8);
    else if (tool === "fit") this.scene.fit();
    else if (tool === "timeline") this.showTimeline(Boolean(this.travel.timeline.node.hidden));
    else if (tool === "group") this.regroup(this.picture ? this.folding.otherTags(this.picture.graph) : []);
    else if (tool === "search") this.header.search.focus();
    else {
      this.scene.turn();
      this.width = 0;
      this.resized();
    }
  }

  private find(text: string): void {
    if (!this.picture) return;
    const found = stepsWith(this.picture.graph, text);
    this.scene.mark(text.trim() ? new Set(found.map((step) => this.folding.shownOf(step))) : null);
  }

  private goToFound(): void {
    const first = this.picture && stepsWith(this.picture.graph, this.header.search.value)[0];
    if (first !== undefined && first !== null) this.scene.focus(this.folding.shownOf(first));
  }

  private act(action: Action, node: number | null): void {
    if (!this.host || !this.picture) return;
    if (this.pending.has(action, node)) return;
    this.connection.say("");
    const step = node === null ? null : (this.picture.graph.nodes[node]?.name ?? null);
    this.pending.sent(this.host.send(action, step), action, node);
  }

  /** What an action is expected to change. */
  private stand(node: number | null): string {
    const run = this.picture!.run;
    return `${run.run}/${run.state}/${run.cancelling ?? false}/${node === null ? "" : `${stateOf(run, node)}/${this.picture!.facts[node]?.attempts ?? 0}`}`;
  }
}
