// A run in a file of its own: all that the kernel would tell is in the page.
import type { Frame } from "./dag/history";
import type { TimedAttempt } from "./dag/lanes";
import { outputsAt } from "./dag/log";
import type { Details, Facts, Graph, LogPiece, Run } from "./dag/state";
import { DagView } from "./dag/view";

interface Report {
  graph: Graph;
  run: Run & { steps: Record<string, Facts> };
  details: Record<string, Details>;
  logs: Record<string, LogPiece[]>;
  timeline: TimedAttempt[];
  frames: Frame[];
}

const data = JSON.parse(document.getElementById("szal-data")!.textContent!) as Report;
const { steps, ...run } = data.run;
const view: DagView = new DagView({
  send: () => 0,
  askDetails: (step) => {
    const details = data.details[step];
    if (details) view.setDetails({ ...details, outputs: outputsAt(data.logs[step] ?? [], Infinity) });
  },
  askLog: (step) => view.setLog(step, data.logs[step] ?? []),
  askHistory: () => view.setHistory(data.timeline, data.frames),
});
document.getElementById("szal-report")!.replaceChildren(view.node);
view.attached();
view.freeze(run.now ?? data.frames.at(-1)?.at ?? 0);
view.update({ graph: data.graph, run, facts: steps });
view.showTimeline(true);
