// The run through time: keeps its attempts and frames, asks for what is new of them, and knows which moment is shown.
import { type Frame, History } from "./history";
import type { TimedAttempt } from "./lanes";
import type { Picture } from "./state";
import { isOver } from "./state";
import { Timeline } from "./timeline";

// A long run is asked for more rarely: its attempts are sent whole.
const ASK_EVERY_MS = 1000;
const MORE_MS_AN_ATTEMPT = 1;

export interface TravelEvents {
  select(node: number): void;
  /** Asks for all attempts, and the frames from this number on. */
  ask(since: number): void;
  /** Another moment is to be drawn. */
  moved(): void;
}

export class Travel {
  readonly timeline: Timeline;
  private latest: Picture | null = null;
  private history: History | null = null;
  private attempts: readonly TimedAttempt[] = [];
  private frames: readonly Frame[] = [];
  private position: number | null = null;
  private known = "";
  private askedAt = -Infinity;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly events: TravelEvents) {
    this.timeline = new Timeline({
      select: (node) => events.select(node),
      moveTo: (position) => this.moveTo(position),
    });
  }

  /** When the moment that is shown was; null in the present. */
  get moment(): number | null {
    return this.position !== null && this.history ? this.history.timeOf(this.position) : null;
  }

  /** The picture of the moment that is shown. */
  at(latest: Picture): Picture {
    return this.position !== null && this.history ? this.history.at(this.position) : latest;
  }

  open(isOpen: boolean): void {
    this.timeline.node.hidden = !isOpen;
    if (!isOpen) {
      this.moveTo(null);
      return;
    }
    this.ask();
    this.timeline.draw();
  }

  /** The frames from number `first` on, and all attempts. No frames at all: no record is kept. */
  set(attempts: readonly TimedAttempt[], frames: readonly Frame[], first: number, now: number): void {
    const { latest } = this;
    if (!latest || first > this.frames.length) return;
    this.attempts = attempts;
    this.frames = first ? [...this.frames.slice(0, first), ...frames] : frames;
    this.history = this.frames.length ? new History(latest.graph, this.frames, latest.run.run) : null;
    this.timeline.setHistory(this.history);
    this.timeline.update(latest.graph, attempts, now);
  }

  /** An open timeline is asked for anew when a state changed since it was drawn. */
  follow(latest: Picture): void {
    const isOther = latest.run.run !== this.latest?.run.run || latest.graph !== this.latest?.graph;
    this.latest = latest;
    if (isOther) this.restart();
    if (this.timeline.node.hidden || this.position !== null || this.known === standOf(latest)) return;
    const wait = this.askedAt + ASK_EVERY_MS + MORE_MS_AN_ATTEMPT * this.attempts.length - Date.now();
    if (wait <= 0 || isOver(latest.run.state)) this.ask();
    else this.timer ??= setTimeout(() => this.ask(), wait);
  }

  tick(now: number): void {
    if (!this.timeline.node.hidden && this.latest) this.timeline.update(this.latest.graph, this.attempts, now);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timeline.dispose();
  }

  private ask(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.askedAt = Date.now();
    if (this.latest) this.known = standOf(this.latest);
    this.events.ask(this.frames.length);
  }

  private restart(): void {
    this.attempts = [];
    this.frames = [];
    this.history = null;
    this.known = "";
    this.askedAt = -Infinity;
    this.timeline.setHistory(null);
    if (this.position !== null) this.moveTo(null);
  }

  private moveTo(position: number | null): void {
    if (this.position === position) return;
    this.position = position;
    this.events.moved();
  }
}

const standOf = ({ run }: Picture): string => `${run.run}/${run.state}/${run.states}`;
