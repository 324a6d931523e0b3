// The anywidget adapter: traits become pictures, commands become custom messages.
import type { AnyModel, Initialize, Render } from "@anywidget/types";
import type { Frame } from "./dag/history";
import type { TimedAttempt } from "./dag/lanes";
import type { Action, Details, Facts, Graph, LogPiece, Run } from "./dag/state";
import type { Memory } from "./dag/host";
import { DagView } from "./dag/view";

interface Traits {
  graph: Graph;
  run: Run;
  facts: { seq: number; steps: Record<string, Facts> };
  actions: Action[];
}

type Message =
  | { type: "ack"; id: number; action: string }
  | { type: "refused"; id: number | null; text: string }
  | { type: "history"; id: number | null; attempts: TimedAttempt[]; frames: Frame[]; first: number; run: string | null }
  | { type: "log"; id: number | null; step: string; pieces: LogPiece[] }
  | { type: "details"; id: number | null; step: string; details: Details };

const PING_MS = 3000;
const SLOW_PING_MS = 30_000;

/** Once a model: keeps `facts` complete from the changes that frames carry, so that any later view has them all. */
const initialize: Initialize<Traits> = ({ model }) => {
  const changed = (): void => {
    const run = model.get("run");
    const facts = model.get("facts");
    const seq = run.seq ?? 0;
    if (seq <= facts.seq) return;
    Object.assign(facts.steps, run.delta);
    // A frame was missed: what it told is asked for.
    if (seq > facts.seq + 1) trySend(model, { action: "sync" });
    facts.seq = seq;
  };
  model.on("change:run", changed);
  changed();
  return () => model.off("change:run", changed);
};

// When a run ends, the notebook draws its output anew: the new view goes on as the reader left the one before.
const memories = new WeakMap<Graph, () => Memory>();

const render: Render<Traits> = ({ model, el }) => {
  let nextId = Math.floor(Math.random() * 2 ** 30);
  let heardAt = Date.now();
  const send = (content: Record<string, unknown>): number => {
    const id = nextId++;
    if (!trySend(model, { ...content, id })) view.setConnected(false);
    return id;
  };
  const view = new DagView(
    {
      send: (action, step) => send(step === null ? { action } : { action, step }),
      askDetails: (step) => void send({ action: "details", step }),
      askLog: (step) => void send({ action: "log", step }),
      askHistory: (since) => void send({ action: "history", value: since }),
    },
    model.get("actions"),
  );
  const memory = memories.get(model.get("graph"))?.();
  if (memory) view.restore(memory);
  el.append(view.node);
  view.attached();

  const show = (): void => {
    memories.set(model.get("graph"), () => view.memory);
    view.update({ graph: model.get("graph"), run: model.get("run"), facts: model.get("facts").steps });
  };
  const heard = (): void => {
    heardAt = Date.now();
    view.setConnected(true);
  };
  // What JupyterLab's widget manager tells its models when the kernel is restarted, or is there again.
  const told = (): void => pings.now();
  const runChanged = (): void => {
    heard();
    const { now } = model.get("run");
    if (now) view.setClock(now);
    show();
  };
  const received = (message: Message): void => {
    heard();
    if (message.type === "ack") view.acknowledged(message.id);
    else if (message.type === "refused") view.refused(message.id, message.text);
    else if (message.type === "details") view.setDetails(message.details);
    else if (message.type === "log") view.setLog(message.step, message.pieces);
    else if (message.type === "history" && message.run === model.get("run").run)
      view.setHistory(message.attempts, message.frames, message.first);
  };
  model.on("change:run", runChanged);
  model.on("change:graph", show);
  model.on("change:facts", show);
  model.on("msg:custom", received);
  model.on("comm_live_update", told);
  const pings = keepAsking(
    model,
    () => Date.now() - heardAt,
    () => view.setConnected(false),
  );
  show();
  return () => {
    pings.stop();
    model.off("change:run", runChanged);
    model.off("change:graph", show);
    model.off("change:facts", show);
    model.off("msg:custom", received);
    model.off("comm_live_update", told);
    view.dispose();
  };
};

/** False where the kernel's side is gone: after a restart sending throws. */
function trySend(model: AnyModel<Traits>, content: Record<string, unknown>): boolean {
  try {
    model.send(content);
    return true;
  } catch {
    return false;
  }
}

/** Asks the kernel now and then whether it is there, rarely once it was silent for long or all is quiet. */
function keepAsking(model: AnyModel<Traits>, silence: () => number, lost: () => void): { now(): void; stop(): void } {
  let timer: ReturnType<typeof setTimeout>;
  const ask = (): void => {
    const asked = Date.now();
    if (!trySend(model, { action: "ping" })) lost();
    timer = setTimeout(() => {
      const wasSilent = silence() >= Date.now() - asked;
      if (wasSilent) lost();
      timer = setTimeout(ask, wasSilent && silence() < 60_000 ? PING_MS : SLOW_PING_MS);
    }, PING_MS);
  };
  ask();
  return {
    now: () => {
      clearTimeout(timer);
      ask();
    },
    stop: () => clearTimeout(timer),
  };
}

export default { initialize, render };
