// Thousands of nodes at once: a mark each, painted, where cards would be too many to lay out and too small to be read.
import type { View } from "./camera";
import { html } from "./dom";
import { type Point, NODE_HEIGHT, NODE_WIDTH } from "./geometry";
import { type Picture, type StepState, STATE_OF_CODE } from "./state";

const QUIET: ReadonlySet<StepState> = new Set(["pending", "skipped", "cancelled"]);

export class Marks {
  readonly node = html("canvas", { class: "szal-marks", role: "img", hidden: true });
  private colours: Record<string, string> = {};
  private theme = "";

  constructor(private readonly root: HTMLElement) {}

  hide(): void {
    this.node.hidden = true;
  }

  /** Paints the nodes that `view` shows; those that are not in `found` faintly, the `chosen` one with a frame. */
  paint(
    picture: Picture,
    points: readonly Point[],
    view: View,
    found: ReadonlySet<number> | null,
    chosen: number,
  ): void {
    const paper = this.node.getContext("2d");
    if (!paper) return;
    this.node.hidden = false;
    this.readColours();
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
    if (this.node.width !== width || this.node.height !== height) {
      this.node.width = width;
      this.node.height = height;
      this.node.style.width = `${view.width}px`;
      this.node.style.height = `${view.height}px`;
    }
    const zoom = view.zoom * ratio;
    const [wide, high] = [Math.max(1.5, NODE_WIDTH * zoom), Math.max(1, NODE_HEIGHT * zoom)];
    const places = new Map<string, number[]>();
    const { states } = picture.run;
    for (let node = 0; node < points.length; node++) {
      const key = found === null || found.has(node) ? (states[node] ?? "p") : `${states[node] ?? "p"}-`;
      const group = places.get(key);
      if (group) group.push(node);
      else places.set(key, [node]);
    }
    paper.clearRect(0, 0, width, height);
    for (const [key, nodes] of places) {
      const state = STATE_OF_CODE[key[0]!] ?? "pending";
      paper.fillStyle = this.colours[state]!;
      paper.globalAlpha = (key.length > 1 ? 0.2 : 1) * (QUIET.has(state) ? 0.45 : 1);
      paper.beginPath();
      for (const node of nodes) {
        const { x, y } = points[node]!;
        const [left, top] = [x * zoom + view.x * ratio, y * zoom + view.y * ratio];
        if (left > width || top > height || left + wide < 0 || top + high < 0) continue;
        paper.rect(left, top, wide, high);
      }
      paper.fill();
    }
    paper.globalAlpha = 1;
    const corner = points[chosen];
    if (!corner) return;
    paper.strokeStyle = this.colours["chosen"]!;
    paper.lineWidth = 2 * ratio;
    paper.strokeRect(
      corner.x * zoom + view.x * ratio - 3 * ratio,
      corner.y * zoom + view.y * ratio - 3 * ratio,
      wide + 6 * ratio,
      high + 6 * ratio,
    );
  }

  private readColours(): void {
    const theme = this.root.closest("[data-theme]")?.getAttribute("data-theme") ?? "light";
    if (theme === this.theme) return;
    this.theme = theme;
    const style = getComputedStyle(this.root);
    for (const state of Object.values(STATE_OF_CODE))
      this.colours[state] = style.getPropertyValue(`--${state}`) || style.getPropertyValue("--cancelled");
    this.colours["chosen"] = style.getPropertyValue("--ink");
  }
}
