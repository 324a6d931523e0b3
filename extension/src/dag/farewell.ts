// What to know of a picture whose kernel is silent.
import { type Run, isOver } from "./state";

const AS_SAVED = "No kernel answers for this picture: it is as it was saved.";

export function farewell(run: Run | undefined): string {
  if (!run || run.state === "idle" || run.state === "completed") return AS_SAVED;
  const resume = `%szal_resume${run.run ? ` ${run.run}` : ""} goes on from the last completed step.`;
  if (isOver(run.state)) return `${AS_SAVED} ${resume}`;
  return `The kernel does not answer: it is busy with a cell, or it was restarted. This is the last state it told. After a restart, ${resume}`;
}
