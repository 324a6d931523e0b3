// What Python sends: the only contract. Written by `szal_nb/widget/view.py`; `tests/contract/` holds both to it.

export type EdgeKind = "data" | "order" | "doubt" | "parent";

export type StepState =
  "pending" | "running" | "retrying" | "waiting" | "completed" | "failed" | "skipped" | "cancelled" | "rolled_back";

export type RunState =
  | "idle"
  | "created"
  | "running"
  | "paused"
  | "completed"
  | "failed"
  | "cancelled"
  | "rolling_back"
  | "rolled_back"
  | "crashed";

export interface Read {
  name: string;
  step: string | null;
  source: string;
}

export interface GraphNode {
  name: string;
  kind: string;
  source: string | null;
  reads: Read[];
  gives: string[];
  changes?: string[];
  tags?: string[];
  flags?: string[];
  notes?: string[];
  cell?: string;
  parent?: string;
  map?: string[];
  approve?: string;
  is_async?: boolean;
  is_main_thread?: boolean;
  /** Of a node that stands for several: their indexes. Made by `grouping.ts`, never sent. */
  members?: number[];
}

export interface GraphEdge {
  source: number;
  target: number;
  kind: EdgeKind;
  names?: string[];
  rule?: string;
  reason?: string;
  line?: number;
  remedy?: string;
  implied?: boolean;
}

export interface Graph {
  schema: number;
  flow: string;
  version: number;
  mode: string;
  nodes: GraphNode[];
  edges: GraphEdge[];
  inputs: string[];
}

export interface Value {
  name: string;
  type: string;
  size: number;
  shape?: number[];
  summary?: string;
  live?: string;
  needed?: boolean;
}

export interface Facts {
  attempts?: number;
  started?: number;
  ended?: number;
  error?: string;
  reason?: string;
  origin?: string;
  retry_at?: number;
  values?: Value[];
  more_values?: number;
  rebuilds?: boolean;
  /** Why it could not be undone. */
  rollback_error?: string;
  done?: number;
  /** How many elements of a mapped step failed. */
  elements_failed?: number;
  total?: number;
  note?: string;
}

/** The run itself: one character of `states` for each node. `seq` and `delta` are those of a live widget. */
export interface Run {
  run: string | null;
  state: RunState;
  states: string;
  counts: Partial<Record<StepState, number>>;
  now: number | null;
  created?: number | null;
  started?: number | null;
  ended?: number | null;
  epoch?: number;
  events?: number;
  reason?: string;
  cancelling?: boolean;
  interrupted?: boolean;
  /** The step that failed because the answer is in doubt: nothing goes on from there. */
  doubted?: string;
  seq?: number;
  delta?: Record<string, Facts>;
}

export interface Attempt {
  number: number;
  state: string;
  started: number;
  ended: number | null;
  error: string | null;
}

export interface StreamOutput {
  type: "stream";
  name: string;
  text: string;
}

export interface RichOutput {
  type: "display_data" | "execute_result" | "update_display_data" | "error";
  data: Record<string, unknown>;
}

export type Output = StreamOutput | RichOutput;

export interface ElementEnd {
  position: number;
  attempts: number;
  error: string;
  gave: string;
}

export interface Failure {
  type: string;
  message: string;
  traceback: string;
  line: number | null;
}

export interface Details {
  step: string;
  source?: string;
  inputs: (Read & { value?: Value })[];
  values: Value[];
  attempts: Attempt[];
  /** How the elements of a mapped step ended; of many those that failed, and the first. */
  elements?: { ended: number; failed: number; shown: ElementEnd[] };
  error: Failure | null;
  rollback_error?: Failure | null;
  outputs: Output[];
}

/** What a step showed, and when: from these and its attempts comes the log of any moment. */
export interface LogPiece {
  at: number;
  attempt: number;
  output: Output;
}

/** All that a picture shows at one moment. `facts` is keyed by the node's index as text. */
export interface Picture {
  graph: Graph;
  run: Run;
  facts: Record<string, Facts>;
}

export const STATE_OF_CODE: Record<string, StepState> = {
  p: "pending",
  r: "running",
  t: "retrying",
  w: "waiting",
  c: "completed",
  f: "failed",
  s: "skipped",
  x: "cancelled",
  b: "rolled_back",
};

export const CODE_OF_STATE = Object.fromEntries(
  Object.entries(STATE_OF_CODE).map(([code, state]) => [state, code]),
) as Record<StepState, string>;

export const stateOf = (run: Run, node: number): StepState => STATE_OF_CODE[run.states[node] ?? "p"] ?? "pending";

const OVER: ReadonlySet<RunState> = new Set(["idle", "completed", "failed", "cancelled", "rolled_back", "crashed"]);

/** Whether the run goes on no more unless somebody asks for it. */
export const isOver = (state: RunState): boolean => OVER.has(state);

export type Action = "run" | "pause" | "resume" | "cancel" | "retry" | "approve" | "reject" | "skip" | "fork" | "only";

const isOneOf = <T>(value: T, ...among: T[]): boolean => among.includes(value);

/** Whether an action on the whole run makes sense now. */
export function runAllows(action: Action, run: Run): boolean {
  const going = run.state === "running" || run.state === "paused";
  switch (action) {
    case "run":
      return isOver(run.state);
    case "pause":
      return run.state === "running" && !run.cancelling && !run.interrupted;
    case "resume":
      return (
        run.state === "paused" ||
        (run.state === "failed" && !run.doubted) ||
        run.state === "cancelled" ||
        run.state === "crashed" ||
        !!run.interrupted
      );
    case "cancel":
      return going && !run.cancelling && !run.interrupted;
    default:
      return false;
  }
}

/** Whether an action on one step makes sense now. */
export function stepAllows(action: Action, run: Run, state: StepState): boolean {
  switch (action) {
    case "retry":
      return (
        isOneOf(run.state, "failed", "cancelled", "crashed") && isOneOf(state, "failed", "cancelled") && !run.doubted
      );
    case "approve":
    case "reject":
      return state === "waiting";
    case "skip":
      return (
        isOneOf(run.state, "running", "paused") &&
        isOneOf(state, "pending", "waiting", "retrying") &&
        !run.cancelling &&
        !run.interrupted
      );
    case "only":
      return isOver(run.state);
    case "fork":
      return run.run !== null && isOver(run.state) && run.state !== "idle" && state !== "pending";
    default:
      return false;
  }
}
