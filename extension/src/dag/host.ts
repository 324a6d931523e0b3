// What a picture needs of the place where it is shown, and what it leaves behind for the next one there.
import type { View } from "./camera";
import type { Tab } from "./panel";
import type { Action } from "./state";

/** What carries commands to whoever runs the flow. Without a host the picture only shows. */
export interface Host {
  /** Sends a command; its id comes back in `acknowledged` and, if it is not obeyed, in `refused`. */
  send(action: Action, step: string | null): number;
  /** Asks for the details of a step; they come by `setDetails`. */
  askDetails(step: string): void;
  /** Asks for all that a step showed and when, for the past; it comes by `setLog`. Absent: only the newest is told. */
  askLog?(step: string): void;
  /** Asks for the attempts and, where there is a record, the frames of the run from a number on: see `setHistory`. */
  askHistory(since: number): void;
  /** A command was not acknowledged in time. Absent: the picture says that the kernel does not answer, and rests. */
  unanswered?(): void;
  /** Jumps to where the step is written; absent where that is not possible. */
  openStep?(step: string): void;
}

/** How a reader left a picture. */
export interface Memory {
  step: number;
  tab: Tab;
  isTimelineOpen: boolean;
  focus: string;
  camera: View | null;
}
