// The drawing area: nodes and edges, selection and the way between nodes by keyboard.
import { Camera, FAR, NEAR, type View } from "./camera";
import { Card } from "./card";
import { html, setAttribute } from "./dom";
import { stateWord } from "./format";
import {
  type Direction,
  type Geometry,
  type Point,
  NODE_HEIGHT,
  NODE_WIDTH,
  fittingDirection,
  measure,
  placeGraph,
} from "./geometry";
import type { Placement } from "./layout";
import { Marks } from "./marks";
import { type Action, type Facts, type Graph, type Picture, stateOf } from "./state";
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
  private readonly cards: HTMLElement;
  private graph: Graph | null = null;
  private placement: Placement | null = null;
  private drawn: Drawn[] = [];
  private chosen: Direction | null = null;
  private isFar = false;
  private selected = -1;
  private hovered = -1;
  private roving = 0;
  private revealing: ReturnType<typeof setTimeout> | undefined;
  private readonly ticking = new Set<number>();
  private readonly stops: (() => void)[] = [];

  constructor(
    private readonly events: SceneEvents,
    private readonly actions: ReadonlySet<Action>,
  ) {
    this.cards = html("div", {
      class: "szal-cards",
      role: "group",
      "aria-label": "Steps; arrow keys follow the edges",
    });
    this.world = html("div", { class: "szal-world" }, this.wires.node, this.cards);
    this.node = html("div", { class: "szal-scene" }, this.world);
    this.camera = new Camera(this.node, this.world, (zoom) => this.zoomed(zoom));
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

  setGraph(graph: Graph): void {
    const places = new Map(this.graph?.nodes.map((node, number) => [node.name, this.geometry?.nodes[number]]) ?? []);
    const selected = this.graph?.nodes[this.selected]?.name;
    this.graph = graph;
    this.placement = placeGraph(graph);
    this.layOut();
    this.keepInPlace(places);
    this.build();
    this.selected = selected === undefined ? -1 : graph.nodes.findIndex((node) => node.name === selected);
    this.markSelected();
  }

  turn(): Direction {
    this.chosen = this.direction === "LR" ? "TB" : "LR";
    this.layOut();
    this.placeAll();
    this.light();
    this.fit();
    return this.chosen;
  }

  update(picture: Picture, now: number): void {
    for (let node = 0; node < this.drawn.length; node++) {
      const state = stateOf(picture.run, node);
      const facts = picture.facts[node] ?? NONE;
      const drawn = this.drawn[node]!;
      if (drawn.state === state && drawn.facts === facts) continue;
      this.draw(drawn, node, state, facts, now, picture);
    }
  }

  /** Redraws the durations of what is going on; false when nothing is. */
  tick(now: number): boolean {
    for (const node of this.ticking) {
      const drawn = this.drawn[node]!;
      setText(drawn.time, timeSpent(drawn.state!, drawn.facts!, now));
    }
    return this.ticking.size > 0;
  }

  select(node: number, { reveal = true } = {}): void {
    this.selected = node;
    this.markSelected();
    this.light();
    clearTimeout(this.revealing);
    // Not at once: a second click may follow, and must meet the same node.
    if (node >= 0 && reveal) this.revealing = setTimeout(() => this.reveal(node), DOUBLE_CLICK_MS);
  }

  focus(node: number): void {
    this.rove(node);
    this.drawn[node]?.button.focus({ preventScroll: true });
    this.reveal(node);
  }

  /** Dims the nodes that are not in `found`; null shows all alike. */
  mark(found: ReadonlySet<number> | null): void {
    this.drawn.forEach((drawn, node) => drawn.root.classList.toggle("is-dim", found !== null && !found.has(node)));
  }

  fit(): void {
    if (this.geometry) this.camera.fit(this.geometry.width, this.geometry.height);
  }

  resized(): void {
    if (this.camera.isFitted) this.fit();
  }

  quickButton(node: number, action: Action): HTMLButtonElement | undefined {
    const quick = this.drawn[node]?.quick;
    return quick?.dataset["action"] === action ? quick : undefined;
  }

  dispose(): void {
    for (const stop of this.stops) stop();
    this.camera.dispose();
    clearTimeout(this.revealing);
    this.ticking.clear();
  }

  private layOut(): void {
    const placement = this.placement!;
    // Decided once, so that a graph that grows does not turn under the reader.
    this.chosen ??= fittingDirection(this.graph!, placement, this.node.clientWidth || 960, 520);
    this.geometry = measure(this.graph!, placement, this.chosen);
  }

  /** A graph that grew is drawn where its old nodes were: the view moves by what they moved. */
  private keepInPlace(places: ReadonlyMap<string, { x: number; y: number } | undefined>): void {
    if (this.camera.isFitted) return;
    let count = 0;
    let dx = 0;
    let dy = 0;
    this.graph!.nodes.forEach((node, number) => {
      const was = places.get(node.name);
      const is = this.geometry!.nodes[number]!;
      if (!was) return;
      count += 1;
      dx += was.x - is.x;
      dy += was.y - is.y;
    });
    if (!count) return;
    this.camera.follow(dx / count, dy / count);
  }

  private build(): void {
    this.ticking.clear();
    this.hovered = -1;
    this.roving = 0;
    this.drawn = this.graph!.nodes.map((node, number) => {
      const name = html("span", { class: "szal-name" }, oneLine(node.name, 80));
      const fact = html("span", { class: "szal-fact" });
      const time = html("span", { class: "szal-time" });
      const mark = icon(STATE_ICONS.pending);
      const button = html(
        "button",
        { type: "button", class: "szal-card", tabindex: number ? -1 : 0 },
        mark,
        name,
        time,
        fact,
      );
      const root = html("div", { class: "szal-node", "data-step": node.name, "data-node": number }, button);
      return { root, button, icon: mark, name, fact, time, quick: null, state: null, facts: null };
    });
    this.cards.replaceChildren(...this.drawn.map((drawn) => drawn.root));
    this.placeAll();
    this.light();
  }

  private placeAll(): void {
    const geometry = this.geometry!;
    geometry.nodes.forEach((point, node) => {
      this.drawn[node]!.root.style.transform = `translate(${point.x}px,${point.y}px)`;
    });
    setAttribute(this.node, "data-direction", geometry.direction);
    this.world.style.width = this.cards.style.width = `${geometry.width}px`;
    this.world.style.height = this.cards.style.height = `${geometry.height}px`;
    this.wires.draw(geometry);
  }

  private draw(drawn: Drawn, node: number, state: StepState, facts: Facts, now: number, picture: Picture): void {
    const { name, approve } = this.graph!.nodes[node]!;
    if (drawn.state !== state) {
      setIcon(drawn.icon, STATE_ICONS[state]);
      setAttribute(drawn.root, "data-state", state);
    }
    drawn.state = state;
    drawn.facts = facts;
    const isGoing = !isOver(picture.run.state) && (state === "running" || state === "retrying");
    if (isGoing) this.ticking.add(node);
    else this.ticking.delete(node);
    const said = picture.run.state === "idle" ? this.idleFact(node) : factLine(state, facts);
    setText(drawn.fact, said);
    // How long a step has been running that a dead process left so, nobody knows.
    setText(drawn.time, isGoing || facts.ended !== undefined ? timeSpent(state, facts, now) : "");
    drawn.root.classList.toggle("is-reused", facts.origin !== undefined && facts.origin !== "ran");
    setAttribute(
      drawn.button,
      "title",
      oneLine([name, facts.error, facts.reason, approve].filter(Boolean).join(" · "), 300),
    );
    if (this.isFar) this.nameAloud(drawn, node);
    const quick: Action | null =
      state === "waiting" ? "approve" : state === "failed" && picture.run.run ? "retry" : null;
    if (drawn.quick?.dataset["action"] === quick) return;
    drawn.quick?.remove();
    drawn.quick = null;
    if (quick && this.actions.has(quick)) {
      const label = quick === "approve" ? "Approve" : "Retry";
      drawn.quick = html(
        "button",
        {
          type: "button",
          class: "szal-quick",
          "data-action": quick,
          "data-for": name,
          title: label,
          "aria-label": `${label} ${oneLine(name, 80)}`,
          tabindex: -1,
        },
        icon(ACTION_ICONS[quick]),
      );
      drawn.root.append(drawn.quick);
    }
  }

  private idleFact(node: number): string {
    const { gives, approve } = this.graph!.nodes[node]!;
    if (approve) return "asks before it runs";
    return gives.length ? `gives ${oneLine(gives.join(", "), 60)}` : "gives no names";
  }

  private light(): void {
    this.wires.light(this.hovered >= 0 ? this.hovered : this.selected);
  }

  private markSelected(): void {
    this.drawn.forEach((drawn, node) => {
      if (drawn.root.classList.contains("is-selected") === (node === this.selected)) return;
      drawn.root.classList.toggle("is-selected", node === this.selected);
      if (node === this.selected) drawn.button.setAttribute("aria-pressed", "true");
      else drawn.button.removeAttribute("aria-pressed");
    });
  }

  private rove(node: number): void {
    this.drawn[this.roving]?.button.setAttribute("tabindex", "-1");
    this.roving = node;
    this.drawn[node]?.button.setAttribute("tabindex", "0");
  }

  private reveal(node: number): void {
    const corner = this.geometry?.nodes[node];
    if (corner) this.camera.reveal(corner);
  }

  private zoomed(zoom: number): void {
    const isFar = zoom < NEAR;
    if (isFar !== this.isFar) {
      this.isFar = isFar;
      this.drawn.forEach((drawn, node) => this.nameAloud(drawn, node));
    }
    this.node.classList.toggle("is-far", isFar);
    this.node.classList.toggle("is-very-far", zoom < FAR);
  }

  /** From afar a card shows no text, but those who listen still hear it. */
  private nameAloud(drawn: Drawn, node: number): void {
    if (this.isFar)
      setAttribute(
        drawn.button,
        "aria-label",
        `${oneLine(this.graph!.nodes[node]!.name, 80)}, ${stateWord(drawn.state ?? "pending")}`,
      );
    else drawn.button.removeAttribute("aria-label");
  }

  private listen(): void {
    const on = <K extends keyof HTMLElementEventMap>(
      element: HTMLElement,
      type: K,
      listener: (event: HTMLElementEventMap[K]) => void,
      options?: AddEventListenerOptions,
    ): void => {
      element.addEventListener(type, listener, options);
      this.stops.push(() => element.removeEventListener(type, listener, options));
    };
    const nodeOf = (event: Event): number => {
      const found = event.target instanceof Element ? event.target.closest<HTMLElement>(".szal-node") : null;
      return found ? Number(found.dataset["node"]) : -1;
    };
    on(this.cards, "click", (event) => {
      const node = nodeOf(event);
      if (node < 0) return;
      this.rove(node);
      const quick = event.target instanceof Element ? event.target.closest<HTMLElement>(".szal-quick") : null;
      if (quick) this.events.act(quick.dataset["action"] as Action, node);
      else this.events.select(node);
    });
    on(this.cards, "dblclick", (event) => {
      const node = nodeOf(event);
      if (node >= 0) this.events.open(node);
    });
    on(this.cards, "pointerover", (event) => {
      const node = nodeOf(event);
      if (node === this.hovered) return;
      this.hovered = node;
      this.light();
    });
    on(this.node, "pointerleave", () => {
      this.hovered = -1;
      this.light();
    });
    on(this.cards, "keydown", (event) => {
      const node = nodeOf(event);
      if (node < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      let to = -1;
      if (event.key.startsWith("Arrow")) to = neighbour(this.graph!, this.geometry!, node, event.key);
      else if (event.key === "Home") to = 0;
      else if (event.key === "End") to = this.drawn.length - 1;
      else return;
      event.preventDefault();
      event.stopPropagation();
      if (to >= 0) this.focus(to);
    });
  }
}
