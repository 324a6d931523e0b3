import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Facts, Run } from "../src/dag/state";
import widget from "../src/widget";
import { type Moment, sales, salesDetails } from "./contract";

type Listener = (value?: unknown) => void;

/** What anywidget gives a widget, as far as this one uses it. */
class FakeModel {
  readonly sent: Record<string, unknown>[] = [];
  private readonly listeners = new Map<string, Set<Listener>>();

  constructor(readonly traits: Record<string, unknown>) {}

  get(name: string): unknown {
    return this.traits[name];
  }
  on(event: string, listener: Listener): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(listener));
  }
  off(event: string, listener: Listener): void {
    this.listeners.get(event)?.delete(listener);
  }
  isDead = false;
  send(content: Record<string, unknown>): void {
    if (this.isDead) throw new Error("Cannot send");
    this.sent.push(content);
  }
  set(name: string, value: unknown): void {
    this.traits[name] = value;
    this.emit(`change:${name}`);
  }
  emit(event: string, value?: unknown): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(value);
  }
  get listening(): number {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
}

let model: FakeModel;
let clean: (() => void)[];

function begin(moment: Moment): void {
  const { graph, run, facts } = sales(moment);
  model = new FakeModel({
    graph,
    run: { ...run, seq: 0, delta: {} },
    facts: { seq: 0, steps: facts },
    actions: ["cancel", "retry"],
  });
  const el = document.createElement("div");
  document.body.replaceChildren(el);
  const context = { model, el, experimental: {}, signal: new AbortController().signal };
  clean = [widget.initialize(context as never), widget.render(context as never)].filter(
    (end): end is () => void => typeof end === "function",
  );
  vi.advanceTimersByTime(20);
}

const frame = (seq: number, more: Partial<Run>): void => {
  model.set("run", { ...(model.get("run") as Run), delta: {}, ...more, seq });
  vi.advanceTimersByTime(20);
};
const state = (step: string): string => document.querySelector<HTMLElement>(`[data-step="${step}"]`)!.dataset["state"]!;

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  for (const end of clean) end();
  vi.useRealTimers();
});

it("draws each frame and keeps the facts that frames carry for views to come", () => {
  begin("running");
  const plot: Facts = { attempts: 1, started: 1, ended: 3 };

  frame(1, { states: "ccrrcp", delta: { 4: plot } });

  expect(state("plot")).toBe("completed");
  expect(document.querySelector('[data-step="plot"] .szal-time')!.textContent).toBe("2.0 s");
  expect(model.get("facts")).toMatchObject({ seq: 1, steps: { 4: plot } });
});

it("asks for the whole when a frame was lost", () => {
  begin("running");

  frame(1, {});
  expect(model.sent.filter((message) => message["action"] === "sync")).toEqual([]);
  frame(5, { states: "cccccc" });

  expect(model.sent.filter((message) => message["action"] === "sync")).toHaveLength(1);
  expect(state("summary")).toBe("completed");
});

it("sends commands with a number, and shows their acknowledgement", () => {
  begin("running");
  const cancel = document.querySelector<HTMLButtonElement>('[data-action="cancel"]')!;

  cancel.click();
  const command = model.sent.at(-1)!;
  expect(command).toEqual({ action: "cancel", id: expect.any(Number) });
  model.emit("msg:custom", { type: "ack", id: command["id"], action: "cancel" });

  expect(cancel.dataset["sent"]).toBe("acknowledged");
});

it("shows the details that the kernel sends", () => {
  begin("failed");
  document.querySelector<HTMLElement>('[data-step="by_region"] .szal-card')!.click();
  expect(model.sent.at(-1)).toMatchObject({ action: "details", step: "by_region" });

  model.emit("msg:custom", { type: "details", id: 1, step: "by_region", details: salesDetails("by_region") });

  expect(document.querySelector(".szal-traceback")!.textContent).toContain("Cell In[4]");
});

it("shows the last state and lets the buttons rest where no kernel answers", () => {
  begin("running");
  expect(model.sent[0]).toEqual({ action: "ping" });

  vi.advanceTimersByTime(3500);

  expect(document.querySelector<HTMLButtonElement>('[data-action="cancel"]')!.disabled).toBe(true);
  expect(document.querySelector(".szal-message")!.textContent).toContain("last state");
  expect(state("by_region")).toBe("running");
});

it("lets the buttons rest at once where the kernel was restarted", () => {
  begin("running");
  model.isDead = true;

  document.querySelector<HTMLButtonElement>('[data-action="cancel"]')!.click();

  expect(document.querySelector<HTMLButtonElement>('[data-action="cancel"]')!.disabled).toBe(true);
  expect(document.querySelector(".szal-message")!.textContent).toContain("restarted");
});

it("is live again when the kernel answers", () => {
  begin("running");
  vi.advanceTimersByTime(3500);

  frame(1, {});

  expect(document.querySelector<HTMLButtonElement>('[data-action="cancel"]')!.disabled).toBe(false);
});

it("goes on as the reader left it when the notebook draws its output anew", () => {
  begin("failed");
  document.querySelector<HTMLElement>('[data-step="by_region"] .szal-card')!.click();
  document.querySelector<HTMLElement>('[data-tab="code"]')!.click();
  document.querySelector<HTMLElement>('[data-tool="timeline"]')!.click();
  document.querySelector<HTMLElement>('[data-tab="code"]')!.focus();
  const el = document.createElement("div");
  document.body.append(el);
  clean[1]!();
  const end = widget.render({ model, el, experimental: {}, signal: new AbortController().signal } as never);
  clean[1] = end as () => void;
  vi.advanceTimersByTime(20);

  expect(el.querySelector(".szal-panel-name")!.textContent).toBe("by_region");
  expect(el.querySelector('[data-tab="code"]')!.getAttribute("aria-selected")).toBe("true");
  expect(el.querySelector<HTMLElement>(".szal-timeline")!.hidden).toBe(false);
  expect(el.contains(document.activeElement)).toBe(true);
  expect(document.activeElement!.textContent).toBe("Code");
});

it("asks at once whether the kernel is there when the page hears that it was restarted", () => {
  begin("running");
  model.emit("msg:custom", { type: "ack", id: 1, action: "ping" });
  const before = model.sent.length;

  model.emit("comm_live_update");
  vi.advanceTimersByTime(3100);

  expect(model.sent.slice(before)).toEqual([{ action: "ping" }]);
  expect(document.querySelector(".szal-message")!.textContent).toContain("restarted");
});

it("leaves no listener and no timer behind", () => {
  begin("running");
  for (const end of clean) end();
  clean = [];

  expect(model.listening).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  expect(document.querySelector(".szal-dag")).toBeNull();
});
