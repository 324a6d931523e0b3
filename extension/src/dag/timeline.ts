// The timeline below the drawing: a bar an attempt, and the slider that moves the whole picture through the run.
import { html, setAttribute, setText, svg } from "./dom";
import { formatDuration, oneLine, stateWord } from "./format";
import type { Frame, History } from "./history";
import { ACTION_ICONS, icon, setIcon } from "./icons";
import { type Bar, type TimedAttempt, arrange, markEvery } from "./lanes";
import type { Graph } from "./state";
import { type Wait, type WaitKind, waitsOf } from "./waits";

const LANE = 16;
const AXIS = 20;
const MOST_LANES = 14;
const LEAST_WAIT_PX = 3;
const WAITED: Record<WaitKind, string> = {
  slot: "ready, waiting to start",
  retry: "waiting to be tried again",
  person: "waiting for a person",
};
const PLAY_MS = 40;
const PLAY_LENGTH_MS = 8000;

export interface TimelineEvents {
  select(node: number): void;
  /** Shows the moment after this many frames; null goes back to the present. */
  moveTo(position: number | null): void;
}

export class Timeline {
  readonly node: HTMLElement;
  private readonly chart = svg("svg", { class: "szal-chart", role: "img" });
  private readonly cursor = svg("line", { class: "szal-cursor" });
  private readonly range = html("input", {
    type: "range",
    class: "szal-range",
    min: 0,
    step: 1,
    "aria-label": "Moment of the run",
  });
  private readonly said = html("span", { class: "szal-moment" });
  private readonly playIcon = icon(ACTION_ICONS.run);
  private readonly play = html(
    "button",
    { type: "button", class: "szal-tool", "data-tool": "play", title: "Play the run", "aria-label": "Play the run" },
    this.playIcon,
  );
  private readonly live = html("button", { type: "button", class: "szal-link", hidden: true }, "Back to the end");
  private readonly slider = html(
    "div",
    { class: "szal-slider", hidden: true },
    this.play,
    this.range,
    this.said,
    this.live,
  );
  private graph: Graph | null = null;
  private bars: Bar[] = [];
  private waits: readonly Wait[] = [];
  private history: History | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private selected = -1;
  private start = 0;
  private end = 1;

  constructor(private readonly events: TimelineEvents) {
    this.node = html(
      "section",
      { class: "szal-timeline", "aria-label": "Timeline", hidden: true },
      this.chart,
      this.slider,
    );
    this.range.addEventListener("input", () => {
      this.stop();
      this.moveTo(Number(this.range.value));
    });
    // The notebook must not take the arrow keys from the slider.
    this.range.addEventListener("keydown", (event) => event.stopPropagation());
    this.play.addEventListener("click", () => this.togglePlay());
    this.live.addEventListener("click", () => {
      this.stop();
      this.moveTo(this.history?.length ?? 0);
    });
    this.chart.addEventListener("click", (event) => {
      const bar = event.target instanceof Element ? event.target.closest("[data-node]") : null;
      if (bar) this.events.select(Number(bar.getAttribute("data-node")));
    });
  }

  setHistory(history: History | null): void {
    this.history = history;
    this.slider.hidden = !history?.length;
    if (!history) return;
    const wasAtEnd = this.range.max === "" || this.range.value === this.range.max;
    this.range.max = String(history.length);
    if (wasAtEnd) this.range.value = this.range.max;
    this.say(Number(this.range.value));
  }

  update(graph: Graph, attempts: readonly TimedAttempt[], now: number): void {
    this.graph = graph;
    this.bars = arrange(graph, attempts, now);
    this.waits = waitsOf(graph, this.bars, this.history?.frames ?? [], now);
    this.draw();
  }

  select(node: number): void {
    this.selected = node;
    for (const bar of this.chart.querySelectorAll("[data-node]"))
      bar.classList.toggle("is-selected", bar.getAttribute("data-node") === String(node));
  }

  draw(): void {
    const width = this.node.clientWidth - 28;
    if (!this.graph || width <= 0 || this.node.hidden) return;
    this.start = this.bars.reduce(
      (least, bar) => Math.min(least, bar.started),
      this.history?.frames[0]?.at ?? Infinity,
    );
    this.end = [...this.bars.map((bar) => bar.ended), ...this.waits.map((wait) => wait.to)].reduce(
      (most, at) => Math.max(most, at),
      this.start + 0.001,
    );
    const lanes = [...this.bars, ...this.waits].reduce((most, { lane }) => Math.max(most, lane + 1), 1);
    const height = Math.min(lanes, MOST_LANES) * LANE + AXIS;
    const lane = (height - AXIS) / lanes;
    const span = this.end - this.start;
    const x = (at: number): number => ((at - this.start) / span) * width;
    setAttribute(this.chart, "viewBox", `0 0 ${width} ${height}`);
    setAttribute(this.chart, "height", String(height));
    setAttribute(
      this.chart,
      "aria-label",
      `Timeline of ${this.bars.length} attempts and ${this.waits.length} waits in ${formatDuration(span)}`,
    );
    const every = markEvery(span, width / 90);
    const marks: SVGElement[] = [];
    for (let at = 0; at <= span; at += every) {
      const place = x(this.start + at);
      marks.push(svg("line", { class: "szal-mark", x1: place, x2: place, y1: 0, y2: height - AXIS }));
      if (place < width - 30)
        marks.push(
          svg(
            "text",
            { class: "szal-mark-text", x: place, y: height - 6, "text-anchor": at ? "middle" : "start" },
            at ? formatDuration(at) : "0",
          ),
        );
    }
    const bars = this.bars.map((bar) => this.bar(bar, x, lane));
    setAttribute(this.cursor, "y2", String(height - AXIS));
    const waits = this.waits.flatMap((wait) => this.wait(wait, x, lane));
    this.chart.replaceChildren(...marks, ...waits, ...bars, this.cursor);
    this.select(this.selected);
    this.place(Number(this.range.value));
  }

  /** Goes to a moment, as the slider does. */
  moveTo(position: number): void {
    if (!this.history) return;
    this.range.value = String(position);
    this.say(position);
    this.events.moveTo(position >= this.history.length ? null : position);
  }

  dispose(): void {
    this.stop();
  }

  private bar(bar: Bar, x: (at: number) => number, lane: number): SVGElement {
    const left = x(bar.started);
    const wide = Math.max(2, x(bar.ended) - left);
    const name = this.graph!.nodes[bar.step]!.name;
    const tip = `${oneLine(name, 80)}${bar.number > 1 ? `, try ${bar.number}` : ""}: ${stateWord(bar.state)}, ${formatDuration(bar.ended - bar.started)}${bar.isCritical ? ", on the critical path" : ""}`;
    const group = svg(
      "g",
      {
        class: `szal-bar${bar.isCritical ? " is-critical" : ""}`,
        "data-node": bar.step,
        "data-state": bar.state === "lost" ? "cancelled" : bar.state,
      },
      svg("title", {}, tip),
      svg("rect", {
        x: left,
        y: bar.lane * lane + 1,
        width: wide,
        height: Math.max(1.5, lane - 3),
        rx: Math.min(3, lane / 4),
      }),
    );
    if (lane >= 13 && wide > 34) {
      const fits = Math.floor((wide - 10) / 6.6);
      group.append(svg("text", { x: left + 5, y: bar.lane * lane + lane - 5 }, oneLine(name, fits)));
    }
    return group;
  }

  /** A line as long as the wait; what is too short to be seen is left out. */
  private wait({ step, kind, from, to, lane: row }: Wait, x: (at: number) => number, lane: number): SVGElement[] {
    const [left, right] = [x(from), x(to)];
    if (right - left < LEAST_WAIT_PX) return [];
    const name = oneLine(this.graph!.nodes[step]!.name, 80);
    const y = row * lane + lane / 2;
    return [
      svg(
        "g",
        { class: `szal-wait is-${kind}`, "data-node": step },
        svg("title", {}, `${name}: ${WAITED[kind]}, ${formatDuration(to - from)}`),
        svg("line", { class: "szal-wait-hit", x1: left, x2: right, y1: y, y2: y, "stroke-width": lane }),
        svg("line", { class: "szal-wait-line", x1: left, x2: right, y1: y, y2: y }),
      ),
    ];
  }

  private say(position: number): void {
    if (!this.history) return;
    const frame: Frame | undefined = this.history.frames[position - 1];
    const step = frame?.step === undefined ? "" : ` ${oneLine(this.graph?.nodes[frame.step]?.name ?? "", 30)}`;
    const time = formatDuration(Math.max(0, this.history.timeOf(position) - this.history.timeOf(1)));
    const text = `${time} · ${(frame?.kind ?? "nothing yet").replace(".", " ").replace("_", " ")}${step}`;
    setText(this.said, text);
    setAttribute(this.range, "aria-valuetext", text);
    this.live.hidden = position >= this.history.length;
    this.place(position);
  }

  private place(position: number): void {
    const width = this.node.clientWidth - 28;
    const isShown = this.history !== null && position < this.history.length;
    this.cursor.classList.toggle("is-shown", isShown);
    if (!isShown || width <= 0) return;
    const at = ((this.history!.timeOf(position) - this.start) / (this.end - this.start)) * width;
    const place = String(Math.min(width, Math.max(0, at)));
    setAttribute(this.cursor, "x1", place);
    setAttribute(this.cursor, "x2", place);
    setAttribute(this.cursor, "y1", "0");
  }

  /** Plays the whole run in eight seconds, by its own clock, from where the slider stands. */
  private togglePlay(): void {
    if (this.timer !== undefined) {
      this.stop();
      return;
    }
    const history = this.history;
    if (!history) return;
    let position = Number(this.range.value) >= history.length ? 0 : Number(this.range.value);
    const first = history.timeOf(1);
    const rate = Math.max(0.001, history.timeOf(history.length) - first) / PLAY_LENGTH_MS;
    let at = history.timeOf(position);
    setIcon(this.playIcon, ACTION_ICONS.pause);
    setAttribute(this.play, "aria-label", "Stop playing");
    this.timer = setInterval(() => {
      at += rate * PLAY_MS;
      while (position < history.length && history.frames[position]!.at <= at) position += 1;
      this.moveTo(position);
      if (position >= history.length) this.stop();
    }, PLAY_MS);
  }

  private stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    setIcon(this.playIcon, ACTION_ICONS.run);
    setAttribute(this.play, "aria-label", "Play the run");
  }
}
