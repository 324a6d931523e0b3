// Commands as code: what a menu or a button asks for is a magic, executed in the notebook's own kernel.
import { Dialog, showDialog } from "@jupyterlab/apputils";
import { type Cell, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import type { Message } from "@jupyterlab/services";
import { type Command, codeOf } from "./code";

/** The kernel does not know the flow, because its cells were not executed yet. */
export class NotReady extends Error {}

const UNKNOWN_MAGIC = /magic function [`%]*szal_\w+`? not found/i;
const NO_STEPS = /has no steps|has no flow/i;

/** Carries the command out; rejects with what the kernel said against it. */
export async function command(panel: NotebookPanel, asked: Command, steps: ReadonlySet<string>): Promise<void> {
  if (asked.name !== "cancel") await prepare(panel, steps);
  await execute(panel, codeOf(asked));
}

/** Saves the notebook and defines what changed in it; gives the cells that it has lost. */
export async function prepare(panel: NotebookPanel, steps: ReadonlySet<string>): Promise<readonly string[]> {
  if (!panel.sessionContext.session?.kernel)
    throw new Error("This notebook has no kernel. Start one from the Kernel menu.");
  // The kernel takes the order of the cells from the file.
  if (panel.model?.dirty && !panel.model.readOnly) await panel.context.save();
  await define(panel, steps);
  return [...(panel.model?.deletedCells ?? [])];
}

/** Executes the cells of steps that were edited since the kernel saw them: it would run what they were before. */
async function define(panel: NotebookPanel, steps: ReadonlySet<string>): Promise<void> {
  const cells = panel.content.widgets.filter((cell) => steps.has(cell.model.id));
  const isNew = ({ model }: Cell): boolean => model.executionCount === null;
  // Where no step was executed, what stands above the steps was not either.
  if (cells.every(isNew) || !NotebookActions.runCells) return;
  const stale = cells.filter((cell) => (cell.model.isDirty || isNew(cell)) && !isRunAtOnce(cell));
  if (stale.length && !(await NotebookActions.runCells(panel.content, stale, panel.sessionContext)))
    throw new Error("The cell of a step that was edited could not be executed.");
}

const isRunAtOnce = ({ model }: Cell): boolean =>
  /^%%szal_step\b.*\s(-x|--execute)\b/m.test(model.sharedModel.getSource());

async function execute(panel: NotebookPanel, code: string): Promise<void> {
  const kernel = panel.sessionContext.session!.kernel!;
  const deletedCells = [...(panel.model?.deletedCells ?? [])];
  const future = kernel.requestExecute({ code, store_history: false, allow_stdin: true, stop_on_error: false }, true, {
    deletedCells,
  });
  let failure: { ename: string; evalue: string } | null = null;
  let printed = "";
  future.onIOPub = ({ header, content }: Message): void => {
    if (header.msg_type === "error") failure = content as { ename: string; evalue: string };
    if (header.msg_type === "stream") printed += String(content["text"]);
  };
  future.onStdin = async ({ header, content }: Message): Promise<void> => {
    if (header.msg_type !== "input_request") return;
    const { button } = await showDialog({
      title: "Run the flow?",
      body: String(content["prompt"]).replace(/\s*\[y\/N\]\s*$/i, ""),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: "Run" })],
    });
    future.sendInputReply({ status: "ok", value: button.accept ? "y" : "n" }, header);
  };
  const reply = (await future.done).content as { status?: string; ename?: string; evalue?: string };
  const error = failure ?? (reply.status === "error" ? (reply as { ename: string; evalue: string }) : null);
  if (reply.status === "ok" && !error && !UNKNOWN_MAGIC.test(printed)) return;
  const text = error ? error.evalue || error.ename : printed || "The kernel was interrupted or restarted.";
  if (UNKNOWN_MAGIC.test(text) || NO_STEPS.test(text))
    throw new NotReady("The kernel does not know this flow yet: the cells that define it were not executed.");
  throw new Error(text.trim());
}
