// The drawing area: nodes and edges, selection and the way between nodes by keyboard.
import { Camera, FAR, NEAR } from "./camera";
import { Card } from "./card";
import { html, listener, setAttribute } from "./dom";
import { stateWord } from "./format";
import { type Direction, type Geometry, type Point, fittingDirection, meanMove, measure, placeGraph } from "./geometry";
import type { Placement } from "./layout";
import { Marks } from "./marks";
import { type Action, type Facts, type Graph, type Picture, stateOf } from "./state";
import { nodeAt, nodesIn } from "./sight";
import { neighbour } from "./walk";
import { Wires } from "./wires";

const DOUBLE_CLICK_MS = 300;
// Up to this number every node has a card; past it only those that are seen, and none where these are too many.
const ALL_CARDS_UP_TO = 2500;
const CARDS_SEEN_UP_TO = 900;
const STILL_PX = 4;
const NONE: Facts = Object.freeze({});

export interface SceneEvents {
  select(node: number): void;
  open(node: number): void;
  act(action: Action, node: number): void;
}

export class Scene {
  readonly node: HTMLElement;
  readonly camera: Camera;
  geometry: Geometry | null = null;
  private readonly world: HTMLElement;
  private readonly wires = new Wires();
  private readonly holder: HTMLElement;
  private readonly marks: Marks;
  private graph: Graph | null = null;
  private placement: Placement | null = null;
  private picture: Picture | null = null;
  private now = 0;
  private readonly cards = new Map<number, Card>();
  private found: ReadonlySet<number> | null = null;
  private chosen: Direction | null = null;
  private isTurned = false;
  private isFar = false;
  private selected = -1;
  private hovered = -1;
  private roving = 0;
  private frame = 0;
  private revealing: ReturnType<typeof setTimeout> | undefined;
  private readonly ticking = new Set<number>();
  private readonly stops: (() => void)[] = [];

  constructor(
    private readonly events: SceneEvents,
    private readonly actions: ReadonlySet<Action>,
  ) {
    this.holder = html("div", {
      class: "szal-cards",
      role: "group",
      "aria-label": "Steps; arrow keys follow the edges",
    });
    this.world = html("div", { class: "szal-world" }, this.wires.node, this.holder);
    this.node = html("div", { class: "szal-scene" }, this.world);
    this.marks = new Marks(this.node);
    this.node.append(this.marks.node);
    this.camera = new Camera(this.node, this.world, (zoom) => this.moved(zoom));
    this.listen();
  }

  get direction(): Direction {
    return this.geometry?.direction ?? "LR";
  }

  /** The height at which the drawing would show whole at this width. */
  wantedHeight(width: number): number {
    const geometry = this.geometry;
    if (!geometry) return 0;
    return geometry.height * Math.min(1, width / geometry.width);
  }

  /** `isOther`: the graph is not one that grew, but another way to see it. */
  setGraph(graph: Graph, { isOther = false } = {}): void {
    const places = new Map(this.graph?.nodes.map((node, number) => [node.name, this.geometry?.nodes[number]]) ?? []);
    const selected = this.graph?.nodes[this.selected]?.name;
    this.graph = graph;
    this.picture = null;
    this.found = null;
    this.placement = placeGraph(graph);
    if (isOther && !this.isTurned) this.chosen = null;
    this.layOut();
    // A graph that grew is drawn where its old nodes were: the view moves by what they moved.
    const by = this.camera.isFitted ? null : meanMove(places, graph, this.geometry!);
    if (by) this.camera.follow(by.x, by.y);
    this.ticking.clear();
    this.hovered = -1;
    this.roving = 0;
    this.cards.clear();
    this.holder.replaceChildren();
    // Until it is known from how far they are seen nobody lays them out.
    this.holder.hidden = true;
    this.marks.hide();
    this.node.toggleAttribute("tabindex", false);
    if (!this.isSparse) this.addCards(graph.nodes.keys());
    this.placeAll();
    this.light();
    this.selected = selected === undefined ? -1 : graph.nodes.findIndex((node) => node.name === selected);
    this.markSelected();
  }

  turn(): Direction {
    this.chosen = this.direction === "LR" ? "TB" : "LR";
    this.isTurned = true;
    this.layOut();
    this.placeAll();
    this.light();
    this.fit();
    return this.chosen;
  }

  update(picture: Picture, now: number): void {
    const isFirst = this.picture === null;
    this.picture = picture;
    this.now = now;
    for (const [node, card] of this.cards) {
      const state = stateOf(picture.run, node);
      const facts = picture.facts[node] ?? NONE;
      if (card.state !== state || card.facts !== facts || isFirst) this.show(card, node);
    }
    this.holder.hidden = false;
    if (this.hovered >= 0 || this.selected >= 0) this.light();
    if (!this.isSparse) return;
    if (isFirst || this.marks.node.hidden) this.look();
    else this.paint();
  }

  /** Redraws the durations of what is going on. */
  tick(now: number): void {
    this.now = now;
    if (this.isFar) return;
    for (const node of this.ticking) this.cards.get(node)?.tick(now);
  }

  select(node: number, { reveal = true } = {}): void {
    this.selected = node;
    this.markSelected();
    this.light();
    clearTimeout(this.revealing);
    // Not at once: a second click may follow, and must meet the same node.
    if (node < 0 || !reveal) return;
    this.revealing = setTimeout(() => {
      this.settle();
      this.reveal(node);
    }, DOUBLE_CLICK_MS);
  }

  /** What showed whole shows whole in the room that there is now. */
  settle(): void {
    if (this.camera.isFitted) this.fit({ isGliding: true });
  }

  focus(node: number): void {
    this.reveal(node);
    if (this.isSparse) this.look();
    this.rove(node);
    this.cards.get(node)?.button.focus({ preventScroll: true });
  }

  /** Dims the nodes that are not in `found`; null shows all alike. */
  mark(found: ReadonlySet<number> | null): void {
    this.found = found;
    for (const [node, card] of this.cards) card.root.classList.toggle("is-dim", found !== null && !found.has(node));
    if (!this.marks.node.hidden) this.paint();
  }

  markDifferent(names: ReadonlySet<string>): void {
    for (const [node, card] of this.cards)
      card.root.classList.toggle("is-different", names.has(this.graph!.nodes[node]!.name));
  }

  fit(options: { isGliding?: boolean } = {}): void {
    if (this.geometry) this.camera.fit(this.geometry.width, this.geometry.height, options);
  }

  resized(): void {
    if (this.camera.isFitted) this.fit();
    else if (this.isSparse) this.look();
  }

  quickButton(node: number, action: Action): HTMLButtonElement | undefined {
    const quick = this.cards.get(node)?.quick;
    return quick?.dataset["action"] === action ? quick : undefined;
  }

  dispose(): void {
    for (const stop of this.stops) stop();
    this.camera.dispose();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.revealing);
    this.ticking.clear();
  }

  /** Whether only the nodes that are seen have cards. */
  private get isSparse(): boolean {
    return (this.graph?.nodes.length ?? 0) > ALL_CARDS_UP_TO;
  }

  private layOut(): void {
    const placement = this.placement!;
    // Decided once, so that a graph that grows does not turn under the reader.
    this.chosen ??= fittingDirection(this.graph!, placement, this.node.clientWidth || 960, 520);
    this.geometry = measure(this.graph!, placement, this.chosen);
  }

  private addCards(nodes: Iterable<number>): void {
    const roots: HTMLElement[] = [];
    for (const node of nodes) {
      const card = new Card(this.graph!.nodes[node]!, node, this.actions);
      card.place(this.geometry!.nodes[node]!);
      this.cards.set(node, card);
      if (node === this.roving) card.button.tabIndex = 0;
      if (node === this.selected) card.root.classList.add("is-selected");
      if (this.found && !this.found.has(node)) card.root.classList.add("is-dim");
      if (this.picture) this.show(card, node);
      roots.push(card.root);
    }
    this.holder.append(...roots);
  }

  private placeAll(): void {
    const geometry = this.geometry!;
    for (const [node, card] of this.cards) card.place(geometry.nodes[node]!);
    setAttribute(this.node, "data-direction", geometry.direction);
    this.world.style.width = this.holder.style.width = `${geometry.width}px`;
    this.world.style.height = this.holder.style.height = `${geometry.height}px`;
    this.wires.draw(geometry);
  }

  private show(card: Card, node: number): void {
    card.show(stateOf(this.picture!.run, node), this.picture!.facts[node] ?? NONE, this.picture!, this.now, this.isFar);
    if (card.isGoing) this.ticking.add(node);
    else this.ticking.delete(node);
    if (this.isFar) card.nameAloud(true);
  }

  /** Gives cards to the nodes that are seen, or, where these are too many to be read, paints all as marks. */
  private look(): void {
    if (!this.picture || !this.geometry) return;
    const view = this.camera.view;
    if (!view.width) return;
    const seen = nodesIn(this.geometry.nodes, view);
    if (seen.length > CARDS_SEEN_UP_TO) {
      this.cards.clear();
      this.holder.replaceChildren();
      this.ticking.clear();
      setAttribute(this.node, "tabindex", "0");
      this.paint();
      return;
    }
    this.marks.hide();
    this.node.removeAttribute("tabindex");
    const wanted = new Set(seen);
    for (const [node, card] of this.cards) {
      // What has the focus keeps its card, so that the way on from it is not lost.
      if (wanted.has(node) || card.button === document.activeElement) continue;
      card.root.remove();
      this.cards.delete(node);
      this.ticking.delete(node);
    }
    this.addCards(seen.filter((node) => !this.cards.has(node)));
    if (!this.cards.has(this.roving) && seen.length) this.rove(seen[0]!);
  }

  private paint(): void {
    if (!this.picture || !this.geometry) return;
    const { view } = this.camera;
    this.marks.paint(this.picture, this.geometry.nodes, view, this.found, this.selected);
    const { counts, states } = this.picture.run;
    const said = Object.entries(counts).map(([state, count]) => `${count} ${stateWord(state)}`);
    setAttribute(
      this.marks.node,
      "aria-label",
      `${states.length} steps: ${said.join(", ")}. Press Enter to walk them.`,
    );
  }

  private light(): void {
    const node = this.hovered >= 0 ? this.hovered : this.selected;
    this.wires.light(node, (giver) => this.picture?.facts[giver]?.values ?? []);
  }

  private markSelected(): void {
    for (const [node, card] of this.cards) {
      if (card.root.classList.contains("is-selected") === (node === this.selected)) continue;
      card.root.classList.toggle("is-selected", node === this.selected);
      if (node === this.selected) card.button.setAttribute("aria-pressed", "true");
      else card.button.removeAttribute("aria-pressed");
    }
    if (!this.marks.node.hidden) this.paint();
  }

  private rove(node: number): void {
    this.cards.get(this.roving)?.button.setAttribute("tabindex", "-1");
    this.roving = node;
    this.cards.get(node)?.button.setAttribute("tabindex", "0");
  }

  private reveal(node: number): void {
    const corner = this.geometry?.nodes[node];
    if (corner) this.camera.reveal(corner);
  }

  private moved(zoom: number): void {
    const isFar = zoom < NEAR;
    if (isFar !== this.isFar) {
      this.isFar = isFar;
      for (const card of this.cards.values()) {
        card.nameAloud(isFar);
        if (!isFar && this.picture && card.state) card.write(this.picture, this.now);
      }
    }
    this.node.classList.toggle("is-far", isFar);
    this.node.classList.toggle("is-very-far", zoom < FAR);
    if (!this.isSparse) return;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.look();
    });
  }

  /** The node at a point of the page, where nodes are marks. */
  private markAt(event: MouseEvent): number {
    if (this.marks.node.hidden) return -1;
    const box = this.node.getBoundingClientRect();
    return nodeAt(this.geometry!.nodes, this.camera.view, event.clientX - box.left, event.clientY - box.top);
  }

  private listen(): void {
    const on = listener(this.stops);
    const nodeOf = (event: Event): number => {
      const found = event.target instanceof Element ? event.target.closest<HTMLElement>(".szal-node") : null;
      return found ? Number(found.dataset["node"]) : -1;
    };
    on(this.holder, "click", (event) => {
      const node = nodeOf(event);
      if (node < 0) return;
      this.rove(node);
      const quick = event.target instanceof Element ? event.target.closest<HTMLElement>(".szal-quick") : null;
      if (quick) this.events.act(quick.dataset["action"] as Action, node);
      else this.events.select(node);
    });
    on(this.holder, "dblclick", (event) => {
      const node = nodeOf(event);
      if (node >= 0) this.events.open(node);
    });
    on(this.holder, "pointerover", (event) => {
      const node = nodeOf(event);
      if (node === this.hovered) return;
      this.hovered = node;
      this.cards.get(node)?.describe();
      this.light();
    });
    on(this.node, "pointerleave", () => {
      this.hovered = -1;
      this.light();
    });
    let pressedAt: Point | null = null;
    on(this.node, "pointerdown", (event) => (pressedAt = { x: event.clientX, y: event.clientY }));
    on(this.node, "click", (event) => {
      const isStill =
        pressedAt !== null && Math.hypot(event.clientX - pressedAt.x, event.clientY - pressedAt.y) < STILL_PX;
      const node = isStill ? this.markAt(event) : -1;
      if (node >= 0) this.events.select(node);
    });
    on(this.node, "keydown", (event) => {
      if (event.target !== this.node || !(event.key === "Enter" || event.key.startsWith("Arrow"))) return;
      event.preventDefault();
      event.stopPropagation();
      this.focus(this.selected >= 0 ? this.selected : this.roving);
    });
    on(this.holder, "keydown", (event) => {
      const node = nodeOf(event);
      if (node < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      let to = -1;
      if (event.key.startsWith("Arrow")) to = neighbour(this.graph!, this.geometry!, node, event.key);
      else if (event.key === "Home") to = 0;
      else if (event.key === "End") to = this.graph!.nodes.length - 1;
      else return;
      event.preventDefault();
      event.stopPropagation();
      if (to >= 0) this.focus(to);
    });
  }
}
