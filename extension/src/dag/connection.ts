// Whether anybody answers, and what they said in words: while nobody does, the buttons rest.
import { html } from "./dom";
import { farewell } from "./farewell";
import type { Run } from "./state";

const MOST_CHARS = 1000;

export class Connection {
  readonly message = html("p", { class: "szal-message", role: "alert", hidden: true });

  constructor(private readonly root: () => HTMLElement) {}

  get isLost(): boolean {
    return this.root().classList.contains("is-lost");
  }

  say(text: string): void {
    this.message.textContent = text.slice(0, MOST_CHARS);
    this.message.hidden = !text;
  }

  /** `run` is the last that was told. */
  set(isConnected: boolean, run: Run | undefined): void {
    if (this.isLost !== isConnected) return;
    this.root().classList.toggle("is-lost", !isConnected);
    this.settle();
    this.say(isConnected ? "" : farewell(run));
  }

  /** Buttons that were drawn meanwhile rest like the others. */
  settle(): void {
    for (const button of this.root().querySelectorAll<HTMLButtonElement>("button[data-action]"))
      button.disabled = this.isLost;
  }
}
