// The drawing area: nodes and edges, zoom and pan, selection and the way between nodes by keyboard.
import { html, setAttribute, setText, svg } from "./dom";
import { factLine, oneLine, stateWord, timeSpent } from "./format";
import { type Direction, type Geometry, NODE_HEIGHT, NODE_WIDTH, fittingDirection, measure, placeGraph } from "./geometry";
import { ACTION_ICONS, STATE_ICONS, icon, setIcon } from "./icons";
import type { Placement } from "./layout";
import { type Action, type EdgeKind, type Facts, type Graph, type Picture, type StepState, isOver, stateOf } from "./state";

const NEAR = 0.5;
const FAR = 0.28;
const DOUBLE_CLICK_MS = 300;
const MOST_ZOOM = 2;
const SINGLE_EDGES_UP_TO = 1500;
const NONE: Facts = Object.freeze({});

export interface SceneEvents {
  select(node: number): void;
  open(node: number): void;
  act(action: Action, node: number): void;
}

interface Drawn {
  root: HTMLElement;
  button: HTMLButtonElement;
  icon: SVGSVGElement;
  name: HTMLElement;
  fact: HTMLElement;
  time: HTMLElement;
  quick: HTMLButtonElement | null;
  state: StepState | null;
  facts: Facts | null;
}

export class Scene {
  readonly node: HTMLElement;
  geometry: Geometry | null = null;
  private readonly world: HTMLElement;
  private readonly lines: SVGSVGElement;
  private readonly lit: SVGGElement;
  private readonly base: SVGGElement;
  private readonly labels: SVGGElement;
  private readonly cards: HTMLElement;
  private graph: Graph | null = null;
  private placement: Placement | null = null;
  private drawn: Drawn[] = [];
  private chosen: Direction | null = null;
  private zoom = 1;
  private x = 0;
  private y = 0;
  private isFitted = true;
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
    this.base = svg("g", { class: "szal-edges" });
    this.lit = svg("g", { class: "szal-lit" });
    this.labels = svg("g", { class: "szal-labels" });
    this.lines = svg("svg", { class: "szal-lines", "aria-hidden": "true" }, this.base, this.lit, this.labels);
    this.cards = html("div", { class: "szal-cards", role: "group", "aria-label": "Steps; arrow keys follow the edges" });
    this.world = html("div", { class: "szal-world" }, this.lines, this.cards);
    this.node = html("div", { class: "szal-scene" }, this.world);
    this.listen();
  }

  get direction(): Direction {
    return this.geometry?.direction ?? "LR";
  }

  /** What lies over the right side of the scene, in pixels. */
  covered = 0;

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
    const { clientWidth: width, clientHeight: height } = this.node;
    if (!this.geometry || !width || !height) return;
    this.isFitted = true;
    this.zoom = Math.min(1, width / this.geometry.width, height / this.geometry.height);
    this.x = (width - this.geometry.width * this.zoom) / 2;
    this.y = (height - this.geometry.height * this.zoom) / 2;
    this.apply();
  }

  resized(): void {
    if (this.isFitted) this.fit();
  }

  zoomBy(factor: number, at?: { x: number; y: number }): void {
    const { clientWidth: width, clientHeight: height } = this.node;
    const point = at ?? { x: width / 2, y: height / 2 };
    const zoom = Math.min(MOST_ZOOM, Math.max(0.02, this.zoom * factor));
    this.x = point.x - ((point.x - this.x) * zoom) / this.zoom;
    this.y = point.y - ((point.y - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.isFitted = false;
    this.node.classList.remove("is-gliding");
    this.apply();
  }

  quickButton(node: number, action: Action): HTMLButtonElement | undefined {
    const quick = this.drawn[node]?.quick;
    return quick?.dataset["action"] === action ? quick : undefined;
  }

  dispose(): void {
    for (const stop of this.stops) stop();
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
    if (this.isFitted) return;
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
    this.x += (dx / count) * this.zoom;
    this.y += (dy / count) * this.zoom;
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
      const button = html("button", { type: "button", class: "szal-card", tabindex: number ? -1 : 0 }, mark, name, time, fact);
      const root = html("div", { class: "szal-node", "data-step": node.name, "data-node": number }, button);
      return { root, button, icon: mark, name, fact, time, quick: null, state: null, facts: null };
    });
    this.cards.replaceChildren(...this.drawn.map((drawn) => drawn.root));
    this.placeAll();
    this.light();
    this.apply();
  }

  private placeAll(): void {
    const geometry = this.geometry!;
    geometry.nodes.forEach((point, node) => {
      this.drawn[node]!.root.style.transform = `translate(${point.x}px,${point.y}px)`;
    });
    setAttribute(this.node, "data-direction", geometry.direction);
    this.world.style.width = this.cards.style.width = `${geometry.width}px`;
    this.world.style.height = this.cards.style.height = `${geometry.height}px`;
    setAttribute(this.lines, "width", String(geometry.width));
    setAttribute(this.lines, "height", String(geometry.height));
    if (geometry.edges.length <= SINGLE_EDGES_UP_TO) {
      this.base.replaceChildren(
        ...geometry.edges.map(({ edge, path }) => svg("path", { class: `szal-edge is-${edge.kind}`, d: path })),
      );
    } else {
      const joined = new Map<EdgeKind, string[]>();
      for (const { edge, path } of geometry.edges) {
        if (!joined.has(edge.kind)) joined.set(edge.kind, []);
        joined.get(edge.kind)!.push(path);
      }
      this.base.replaceChildren(
        ...[...joined].map(([kind, paths]) => svg("path", { class: `szal-edge is-${kind}`, d: paths.join("") })),
      );
    }
    this.labels.replaceChildren(
      ...geometry.edges.flatMap(({ label }) =>
        label ? [svg("text", { x: label.x, y: label.y, "text-anchor": label.anchor }, oneLine(label.text, 24))] : [],
      ),
    );
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
    setAttribute(drawn.button, "aria-label", `${oneLine(name, 80)}, ${stateWord(state)}${facts.error ? `, ${oneLine(facts.error, 120)}` : ""}`);
    setAttribute(drawn.button, "title", oneLine([name, facts.error, facts.reason, approve].filter(Boolean).join(" · "), 300));
    const quick: Action | null = state === "waiting" ? "approve" : state === "failed" && picture.run.run ? "retry" : null;
    if (drawn.quick?.dataset["action"] === quick) return;
    drawn.quick?.remove();
    drawn.quick = null;
    if (quick && this.actions.has(quick)) {
      const label = quick === "approve" ? "Approve" : "Retry";
      drawn.quick = html(
        "button",
        { type: "button", class: "szal-quick", "data-action": quick, "data-for": name, title: label, "aria-label": `${label} ${oneLine(name, 80)}`, tabindex: -1 },
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
    const node = this.hovered >= 0 ? this.hovered : this.selected;
    const edges = node < 0 || !this.geometry ? [] : this.geometry.edges.filter(({ edge }) => edge.source === node || edge.target === node);
    this.lit.replaceChildren(...edges.map(({ edge, path }) => svg("path", { class: `szal-edge is-${edge.kind}`, d: path })));
    this.node.classList.toggle("has-lit", edges.length > 0);
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

  /** Moves the view so that a node is in it and can be read. */
  private reveal(node: number): void {
    const point = this.geometry?.nodes[node];
    const width = this.node.clientWidth - this.covered;
    const height = this.node.clientHeight;
    if (!point || width <= 0) return;
    const left = point.x * this.zoom + this.x;
    const top = point.y * this.zoom + this.y;
    const isInside = left >= 0 && top >= 0 && left + NODE_WIDTH * this.zoom <= width && top + NODE_HEIGHT * this.zoom <= height;
    if (isInside && this.zoom >= NEAR) return;
    if (this.zoom < NEAR) {
      this.zoom = 0.9;
      this.x = width / 2 - (point.x + NODE_WIDTH / 2) * this.zoom;
      this.y = height / 2 - (point.y + NODE_HEIGHT / 2) * this.zoom;
    } else {
      const pad = 16;
      this.x += Math.max(0, pad - left) - Math.max(0, left + NODE_WIDTH * this.zoom + pad - width);
      this.y += Math.max(0, pad - top) - Math.max(0, top + NODE_HEIGHT * this.zoom + pad - height);
    }
    this.isFitted = false;
    this.node.classList.add("is-gliding");
    this.apply();
  }

  private apply(): void {
    this.world.style.transform = `translate(${this.x.toFixed(2)}px,${this.y.toFixed(2)}px) scale(${this.zoom.toFixed(4)})`;
    this.node.classList.toggle("is-far", this.zoom < NEAR);
    this.node.classList.toggle("is-very-far", this.zoom < FAR);
  }

  private neighbour(node: number, key: string): number {
    const geometry = this.geometry!;
    const { ranks, across } = geometry.placement;
    const isLeftToRight = geometry.direction === "LR";
    const along = isLeftToRight ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
    const nearest = (nodes: readonly number[], far: (other: number) => number): number =>
      nodes.reduce((best, other) => (best < 0 || far(other) < far(best) ? other : best), -1);
    if (along.includes(key)) {
      const isBack = key === along[0];
      const linked = this.graph!.edges.filter((edge) => (isBack ? edge.target : edge.source) === node).map((edge) => (isBack ? edge.source : edge.target));
      return nearest(linked, (other) => Math.abs(across[other]! - across[node]!) + Math.abs(ranks[other]! - ranks[node]!) * 2);
    }
    const isUp = key === (isLeftToRight ? "ArrowUp" : "ArrowLeft");
    const beside = ranks.flatMap((rank, other) => (rank === ranks[node] && (isUp ? across[other]! < across[node]! : across[other]! > across[node]!) ? [other] : []));
    return nearest(beside, (other) => Math.abs(across[other]! - across[node]!));
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
      if (event.key.startsWith("Arrow")) to = this.neighbour(node, event.key);
      else if (event.key === "Home") to = 0;
      else if (event.key === "End") to = this.drawn.length - 1;
      else return;
      event.preventDefault();
      event.stopPropagation();
      if (to >= 0) this.focus(to);
    });
    on(
      this.node,
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey && !event.altKey) return;
        event.preventDefault();
        const box = this.node.getBoundingClientRect();
        this.zoomBy(Math.exp(-event.deltaY * 0.0025), { x: event.clientX - box.left, y: event.clientY - box.top });
      },
      { passive: false },
    );
    this.listenForPan(on);
  }

  private listenForPan(on: (element: HTMLElement, type: "pointerdown" | "pointermove" | "pointerup" | "pointercancel", listener: (event: PointerEvent) => void) => void): void {
    let from: { x: number; y: number } | null = null;
    on(this.node, "pointerdown", (event) => {
      if (event.button !== 0 || (event.target instanceof Element && event.target.closest(".szal-node"))) return;
      from = { x: event.clientX - this.x, y: event.clientY - this.y };
      this.node.setPointerCapture(event.pointerId);
      this.node.classList.add("is-panning");
    });
    on(this.node, "pointermove", (event) => {
      if (!from) return;
      this.x = event.clientX - from.x;
      this.y = event.clientY - from.y;
      this.isFitted = false;
      this.apply();
    });
    on(this.node, "pointerdown", () => this.node.classList.remove("is-gliding"));
    const end = (): void => {
      from = null;
      this.node.classList.remove("is-panning");
    };
    on(this.node, "pointerup", end);
    on(this.node, "pointercancel", end);
  }
}
