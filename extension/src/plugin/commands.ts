// How what a button asks for is carried out: by the kernel that has the run, by code in the kernel, or in the record.
import type { Action } from "../dag/state";
import type { Client } from "./client";
import type { Command } from "./code";
import { BUSY, Elsewhere, LATER, type Remote, type Request } from "./remote";

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
  /** Has the kernel know the cells as they stand; gives those that the notebook has lost. */
  prepare(): Promise<readonly string[]>;
  /** Executes a line in the notebook's kernel. */
  execute(command: Command): Promise<void>;
  isKernelBusy(): boolean;
}

const ON_THE_RECORD: ReadonlySet<Action> = new Set(["approve", "reject", "cancel"]);
const GOES_ON: ReadonlySet<Action> = new Set(["resume", "retry"]);

// How long a kernel may take before whoever asked is told why.
const PATIENCE_MS = 1000;

/** The run that began, if one did and the kernel has told which. */
export async function carryOut(asked: Asked, means: Means): Promise<string | undefined> {
  const { action, step, flow, run } = asked;
  if (action === "run" || action === "only") return begin(asked, means);
  if (run === null) throw new Error(`There is no run to ${action}.`);
  if (action === "fork") return begin(asked, means);
  try {
    await means.remote.ask({ action, run, ...(step !== null && { step }) }, asked.acknowledged);
  } catch (error) {
    if (!(error instanceof Elsewhere)) throw error;
    if (GOES_ON.has(action) && flow !== null) return begin({ ...asked, action: "resume", step: null }, means);
    await withoutItsKernel(asked, run, means);
  }
  return undefined;
}

/** A run begins: by the kernel at once if it can, also while a cell awaits, else by code, which can ask more. */
async function begin(asked: Asked, means: Means): Promise<string | undefined> {
  const { action, step, flow, run } = asked;
  const command = codeFor(asked);
  if (flow === null) return execute(command, asked, means);
  let isHeard = false;
  let isTold = false;
  means.remote.ping(() => {
    isHeard = true;
    asked.acknowledged();
  });
  const patience = setTimeout(() => {
    // Where it is not heard, whoever asked is told that instead. The kernel's status tells of all its shells as one.
    isTold = isHeard;
    if (isTold) asked.say(LATER);
  }, PATIENCE_MS);
  try {
    const request: Request = { action, flow, deleted: await means.prepare() };
    if (step !== null) request.step = step;
    if (run !== null && action !== "run" && action !== "only") request.run = run;
    return await means.remote.ask(request, asked.acknowledged);
  } catch (error) {
    if (!(error instanceof Elsewhere)) throw error;
    return await execute(command, asked, means);
  } finally {
    clearTimeout(patience);
    if (isTold) asked.say("");
  }
}

function codeFor({ action, step, flow, run }: Asked): Command {
  if (action === "fork") return { name: "fork", run: run!, from: step! };
  if (action === "resume") return { name: "resume", run: run! };
  return { name: "run", ...(flow !== null && { flow }), ...(action === "only" && { only: step! }) };
}

async function withoutItsKernel(asked: Asked, run: string, means: Means): Promise<void> {
  const { action, step, path } = asked;
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

async function execute(command: Command, asked: Asked, means: Means): Promise<undefined> {
  asked.acknowledged();
  if (means.isKernelBusy()) asked.say(BUSY);
  await means.execute(command);
}
