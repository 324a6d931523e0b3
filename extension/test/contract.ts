// The files that `tests/contract/test_contract.py` writes.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Details, Facts, Graph, Picture, Run } from "../src/dag/state";

const FOLDER = resolve(import.meta.dirname, "../../tests/contract");

export const contract = <T>(name: string): T => JSON.parse(readFileSync(resolve(FOLDER, `${name}.json`), "utf8")) as T;

export type Moment = "idle" | "running" | "waiting" | "failed" | "crashed";

export function sales(moment: Moment): Picture {
  const view = contract<{ graph: Graph; run: Run & { steps: Record<string, Facts> } }>(`sales_${moment}`);
  const { steps, ...run } = view.run;
  return { graph: view.graph, run, facts: steps };
}

export const salesDetails = (step: string): Details => contract<Record<string, Details>>("sales_details")[step]!;
