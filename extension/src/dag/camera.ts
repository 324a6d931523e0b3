// Where the drawing stands in its window: zoom, pan, fit, and the wheel and pointer that move it.
import { listener } from "./dom";
import { type Point, NODE_HEIGHT, NODE_WIDTH } from "./geometry";

/** Below this zoom texts are too small to be read. */
export const NEAR = 0.5;
/** Below this zoom a node is a mark in its state's colour with its icon. */
export const FAR = 0.28;
const LEAST_ZOOM = 0.02;
const MOST_ZOOM = 2;
const READING_ZOOM = 0.9;
// Small, but no strain.
const LEAST_BESIDE = 0.55;
const PAD = 16;

/** What the window shows: a point of the drawing is at `x + zoom * its x` in it. */
export interface View {
  x: number;
  y: number;
  zoom: number;
  width: number;
  height: number;
}

export class Camera {
  /** What lies over the right side of the window, in pixels. */
  covered = 0;
  isFitted = true;
  private zoom = 1;
  private x = 0;
  private y = 0;
  private readonly stops: (() => void)[] = [];

  constructor(
    private readonly window: HTMLElement,
    private readonly world: HTMLElement,
    private readonly moved: (zoom: number) => void,
  ) {
    this.listen();
  }

  get view(): View {
    const { clientWidth: width, clientHeight: height } = this.window;
    return { x: this.x, y: this.y, zoom: this.zoom, width, height };
  }

  /** Shows the drawing as another camera did. */
  place({ x, y, zoom }: View): void {
    [this.x, this.y, this.zoom, this.isFitted] = [x, y, zoom, false];
    this.apply();
  }

  /** Shows the whole, beside what covers the window where that leaves it legible, else under it. */
  fit(wide: number, high: number, { isGliding = false } = {}): void {
    const { clientWidth: whole, clientHeight: height } = this.window;
    if (!whole || !height) return;
    const zoomAt = (width: number): number => Math.min(1, width / wide, height / high);
    const beside = whole - this.covered;
    const width = zoomAt(beside) >= LEAST_BESIDE ? beside : whole;
    this.isFitted = true;
    this.zoom = zoomAt(width);
    this.window.classList.toggle("is-gliding", isGliding);
    this.x = (width - wide * this.zoom) / 2;
    this.y = (height - high * this.zoom) / 2;
    this.apply();
  }

  zoomBy(factor: number, at?: Point): void {
    const { clientWidth: width, clientHeight: height } = this.window;
    const point = at ?? { x: width / 2, y: height / 2 };
    const zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, this.zoom * factor));
    this.x = point.x - ((point.x - this.x) * zoom) / this.zoom;
    this.y = point.y - ((point.y - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.isFitted = false;
    this.window.classList.remove("is-gliding");
    this.apply();
  }

  /** Moves by a distance in the drawing, so that what moved in it stays where it was seen. */
  follow(dx: number, dy: number): void {
    this.x += dx * this.zoom;
    this.y += dy * this.zoom;
    this.apply();
  }

  /** Moves as little as needed for the node with this corner to be seen and read. */
  reveal(corner: Point): void {
    const width = this.window.clientWidth - this.covered;
    const height = this.window.clientHeight;
    if (width <= 0 || !height) return;
    const left = corner.x * this.zoom + this.x;
    const top = corner.y * this.zoom + this.y;
    const right = left + NODE_WIDTH * this.zoom;
    const bottom = top + NODE_HEIGHT * this.zoom;
    if (this.zoom >= NEAR && left >= 0 && top >= 0 && right <= width && bottom <= height) return;
    if (this.zoom < NEAR) {
      this.zoom = READING_ZOOM;
      this.x = width / 2 - (corner.x + NODE_WIDTH / 2) * this.zoom;
      this.y = height / 2 - (corner.y + NODE_HEIGHT / 2) * this.zoom;
    } else {
      this.x += Math.max(0, PAD - left) - Math.max(0, right + PAD - width);
      this.y += Math.max(0, PAD - top) - Math.max(0, bottom + PAD - height);
    }
    this.isFitted = false;
    this.window.classList.add("is-gliding");
    this.apply();
  }

  dispose(): void {
    for (const stop of this.stops) stop();
  }

  private apply(): void {
    this.world.style.transform = `translate(${this.x.toFixed(2)}px,${this.y.toFixed(2)}px) scale(${this.zoom.toFixed(4)})`;
    this.moved(this.zoom);
  }

  private listen(): void {
    const on = listener(this.stops);
    const zoomByWheel = (event: WheelEvent): void => {
      // Without a modifier the wheel is the notebook's.
      if (!event.ctrlKey && !event.metaKey && !event.altKey) return;
      event.preventDefault();
      const box = this.window.getBoundingClientRect();
      this.zoomBy(Math.exp(-event.deltaY * 0.0025), { x: event.clientX - box.left, y: event.clientY - box.top });
    };
    on(this.window, "wheel", zoomByWheel, { passive: false });
    let from: Point | null = null;
    on(this.window, "pointerdown", (event) => {
      this.window.classList.remove("is-gliding");
      if (event.button !== 0 || (event.target instanceof Element && event.target.closest(".szal-node"))) return;
      from = { x: event.clientX - this.x, y: event.clientY - this.y };
      this.window.setPointerCapture(event.pointerId);
      this.window.classList.add("is-panning");
    });
    on(this.window, "pointermove", (event) => {
      if (!from) return;
      this.x = event.clientX - from.x;
      this.y = event.clientY - from.y;
      this.isFitted = false;
      this.apply();
    });
    const end = (): void => {
      from = null;
      this.window.classList.remove("is-panning");
    };
    on(this.window, "pointerup", end);
    on(this.window, "pointercancel", end);
  }
}
