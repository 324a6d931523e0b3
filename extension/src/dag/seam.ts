// The seam: one stitch a step, in the order of the notebook; of very long flows one for a few neighbours.
import { html, setAttribute } from "./dom";
import { type StepState, STATE_OF_CODE } from "./state";

const SINGLE_UP_TO = 80;
const MOST_STITCHES = 250;
const TOLD_FIRST: readonly StepState[] = [
  "failed",
  "waiting",
  "retrying",
  "running",
  "cancelled",
  "rolled_back",
  "skipped",
  "pending",
  "completed",
];

export class Seam {
  readonly node = html("div", { class: "szal-seam", "aria-hidden": "true" });
  private states = "";

  update(states: string): void {
    if (states === this.states) return;
    this.states = states;
    const count = Math.min(states.length, MOST_STITCHES);
    if (this.node.childElementCount !== count) {
      this.node.classList.toggle("is-joined", count > SINGLE_UP_TO);
      this.node.replaceChildren(...Array.from({ length: count }, () => html("span", { class: "szal-stitch" })));
    }
    let stitch = this.node.firstElementChild;
    for (let number = 0; number < count; number++) {
      const from = Math.floor((number * states.length) / count);
      const to = Math.floor(((number + 1) * states.length) / count);
      setAttribute(stitch!, "data-state", worstOf(states, from, to));
      stitch = stitch!.nextElementSibling;
    }
  }
}

/** Of several steps the state that a person must not miss. */
export function worstOf(states: string, from: number, to: number): StepState {
  let first = TOLD_FIRST.length - 1;
  for (let at = from; at < to; at++) {
    const rank = TOLD_FIRST.indexOf(STATE_OF_CODE[states[at]!] ?? "pending");
    if (rank < first) first = rank;
  }
  return TOLD_FIRST[first]!;
}
