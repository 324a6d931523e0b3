// How what a button asks for is carried out: by the kernel that has the run, by code in the kernel, or in the record.
import type { Action } from "../dag/state";
import type { Client } from "./client";
import type { Command } from "./code";
import { BUSY, Elsewhere, type Remote } from "./remote";

/** Whose run, and how whoever asked is told. */
export interface Asked {
  action: Action;
  step: string | null;
  path: string | null;
  flow: string | null;
  run: string | null;
  /** Somebody has it in hand. */
  acknowledged(): void;
  say(text: string): void;
}

export interface Means {
  client: Client;
  remote: Remote;
  /** Executes a line in the notebook's kernel. */
  execute(command: Command): Promise<void>;
  isKernelBusy(): boolean;
}

const ON_THE_RECORD: ReadonlySet<Action> = new Set(["approve", "reject", "cancel"]);
const GOES_ON: ReadonlySet<Action> = new Set(["resume", "retry"]);

export async function carryOut(asked: Asked, means: Means): Promise<void> {
  const { action, step, flow, run } = asked;
  if (action === "run") return execute({ name: "run", ...(flow !== null && { flow }) }, asked, means);
  if (action === "only" && step !== null)
    return execute({ name: "run", ...(flow !== null && { flow }), only: step }, asked, means);
  if (run === null) throw new Error(`There is no run to ${action}.`);
  if (action === "fork" && step !== null) return execute({ name: "fork", run, from: step }, asked, means);
  try {
    await means.remote.ask({ action, run, ...(step !== null && { step }) }, asked.acknowledged);
  } catch (error) {
    if (!(error instanceof Elsewhere)) throw error;
    await withoutItsKernel(asked, run, means);
  }
}

async function withoutItsKernel(asked: Asked, run: string, means: Means): Promise<void> {
  const { action, step, path } = asked;
  if (GOES_ON.has(action)) return execute({ name: "resume", run }, asked, means);
  if (path === null || !ON_THE_RECORD.has(action))
    throw new Error(
      `No kernel here runs this run, so it cannot be asked to ${action}. It can be cancelled, its steps be approved or rejected, and Resume goes on with it in this notebook's kernel.`,
    );
  asked.say(
    action === "cancel"
      ? await means.client.cancel(path, run)
      : await means.client.answer(path, run, step ?? "", action === "approve"),
  );
  asked.acknowledged();
}

async function execute(command: Command, asked: Asked, means: Means): Promise<void> {
  asked.acknowledged();
  if (means.isKernelBusy()) asked.say(BUSY);
  await means.execute(command);
}
