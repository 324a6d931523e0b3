// What to know of a picture whose kernel is silent, and what goes on from there.
import type { Run } from "./state";

const AS_SAVED = "No kernel answers for this picture: it is as it was saved.";
const SILENT =
  "The kernel does not answer: it is busy with a cell, or it was restarted. This is the last state it told.";

export function farewell(run: Run | undefined): string {
  const resume = `%szal_resume${run?.run ? ` ${run.run}` : ""}`;
  if (run?.doubted)
    return `${AS_SAVED} Its answer is in doubt: %szal_run --reuse ${run.run} takes from it what is not.`;
  switch (run?.state) {
    case undefined:
    case "idle":
    case "completed":
      return AS_SAVED;
    case "failed":
    case "cancelled":
    case "crashed":
      return `${AS_SAVED} ${resume} goes on from the last completed step.`;
    case "rolled_back":
      return `${AS_SAVED} What it had done was undone, so it cannot go on: %szal_run begins a new run.`;
    case "rolling_back":
      return `${SILENT} After a restart, ${resume} goes on undoing what it had done.`;
    default:
      return `${SILENT} After a restart, ${resume} goes on from the last completed step.`;
  }
}
