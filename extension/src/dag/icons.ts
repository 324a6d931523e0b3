// Icons, drawn in a box of 16 by 16 with round strokes. Those of the states are the twins of `svg.ICONS`.
import { svg } from "./dom";
import type { Action, RunState, StepState } from "./state";

export const STATE_ICONS: Record<StepState, string> = {
  pending: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11",
  running: "M13.5 8a5.5 5.5 0 1 1-3.8-5.2M8 6.8a1.2 1.2 0 1 0 0 2.4a1.2 1.2 0 1 0 0-2.4",
  retrying: "M13.2 8a5.2 5.2 0 1 1-1.7-3.9M11.8 1.6v2.8h-2.8",
  waiting: "M5.6 3.5v9M10.4 3.5v9",
  completed: "M3 8.6l3.4 3.4L13 4.6",
  failed: "M4 4l8 8M12 4l-8 8",
  skipped: "M3.5 4l4.5 4l-4.5 4M8.5 4l4.5 4l-4.5 4",
  cancelled: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M4.2 11.8L11.8 4.2",
  rolled_back: "M6.5 3.5l-3.5 3.5l3.5 3.5M3.2 7h6.3a3.3 3.3 0 0 1 0 6.5h-2",
};

const RUN_ICONS: Partial<Record<RunState, string>> = {
  idle: STATE_ICONS.pending,
  created: STATE_ICONS.pending,
  paused: STATE_ICONS.waiting,
  rolling_back: STATE_ICONS.rolled_back,
  // A circle that is broken, for a run whose process is gone.
  crashed: "M8.6 2.5L6.8 6.4L9.2 8.6L7.4 13.4M5.2 3.3a5.5 5.5 0 0 0 0 9.4M10.8 3.3a5.5 5.5 0 0 1 0 9.4",
};

export const runIcon = (state: RunState): string =>
  RUN_ICONS[state] ?? STATE_ICONS[state as StepState] ?? STATE_ICONS.pending;

export const ACTION_ICONS: Record<Action, string> = {
  run: "M5 3.2L12.5 8L5 12.8Z",
  pause: STATE_ICONS.waiting,
  resume: "M3.5 3.5v9M7 3.6L13 8L7 12.4Z",
  cancel: "M4.2 4.2h7.6v7.6H4.2Z",
  retry: STATE_ICONS.retrying,
  approve: STATE_ICONS.completed,
  reject: STATE_ICONS.failed,
  skip: STATE_ICONS.skipped,
  only: "M8 3v5.5M5.5 6.5L8 9l2.5-2.5M3 12.5h10",
  fork: "M4.5 2.5v11M4.5 9.5c0-3 7-1.5 7-5M11.5 4.5v-2",
};

export const TOOL_ICONS = {
  zoom_in: "M8 3.5v9M3.5 8h9",
  zoom_out: "M3.5 8h9",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  turn: "M3 5.5h9.5M9.5 2.5l3 3l-3 3M8 13.5v-3M5.5 11l2.5 2.5l2.5-2.5",
  search: "M7 2.8a4.2 4.2 0 1 0 0 8.4a4.2 4.2 0 1 0 0-8.4M10.2 10.2L13.5 13.5",
  close: STATE_ICONS.failed,
  group: "M2.5 6.5h8v7h-8ZM5.5 6.5v-3.5h8v7h-3",
  compare: "M2.5 3h4.5v10h-4.5ZM9 3h4.5v10h-4.5Z",
  bin: "M3 4.5h10M6.5 4.5v-2h3v2M4.2 4.5l.6 9h6.4l.6-9",
  open: "M9.5 2.5h4v4M13.5 2.5L8 8M12 9v4.5H2.5V4H7",
  timeline: "M2.5 4h6M5.5 8h7M9.5 12h4",
};

export function icon(path: string, className = "szal-icon"): SVGSVGElement {
  return svg(
    "svg",
    { class: className, viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    svg("path", { d: path }),
  );
}

export function setIcon(element: SVGSVGElement, path: string): void {
  element.firstElementChild?.setAttribute("d", path);
}
