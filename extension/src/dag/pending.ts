// Commands on their way: each shows at its button until the kernel's state confirms it, or it is refused.
import { setAttribute } from "./dom";
import type { Action } from "./state";

const NO_ANSWER_MS = 3000;

interface Pending {
  action: Action;
  node: number | null;
  before: string;
  timer: ReturnType<typeof setTimeout>;
}

export interface PendingEvents {
  /** The buttons that stand for this command. */
  buttons(action: Action, node: number | null): readonly HTMLButtonElement[];
  /** What the command is expected to change, as text. */
  stand(node: number | null): string;
  /** Nobody acknowledged a command in time. */
  unanswered(): void;
}

export class PendingCommands {
  private readonly pending = new Map<number, Pending>();

  constructor(private readonly events: PendingEvents) {}

  has(action: Action, node: number | null): boolean {
    return [...this.pending.values()].some((pending) => pending.action === action && pending.node === node);
  }

  sent(id: number, action: Action, node: number | null): void {
    const timer = setTimeout(() => this.events.unanswered(), NO_ANSWER_MS);
    this.pending.set(id, { action, node, before: this.events.stand(node), timer });
    for (const button of this.events.buttons(action, node)) setAttribute(button, "data-sent", "sent");
  }

  acknowledged(id: number): void {
    const pending = this.pending.get(id);
    if (!pending) return;
    clearTimeout(pending.timer);
    for (const button of this.events.buttons(pending.action, pending.node))
      setAttribute(button, "data-sent", "acknowledged");
    // A command that changes nothing visible must not look pending for ever.
    pending.timer = setTimeout(() => this.settle(id), NO_ANSWER_MS);
  }

  /** Settles what the state that is now drawn confirms. */
  confirm(): void {
    for (const [id, pending] of this.pending) {
      if (this.events.stand(pending.node) !== pending.before) this.settle(id);
    }
  }

  settle(id: number): void {
    const pending = this.pending.get(id);
    if (!pending) return;
    clearTimeout(pending.timer);
    this.pending.delete(id);
    for (const button of this.events.buttons(pending.action, pending.node)) button.removeAttribute("data-sent");
  }

  dispose(): void {
    for (const { timer } of this.pending.values()) clearTimeout(timer);
    this.pending.clear();
  }
}
