// The plugin's parts that need no JupyterLab: the client, the feed, the table, the badges, the code of commands.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Action, Graph, Run, RunState } from "../src/dag/state";
import { Badges, standsOf } from "../src/plugin/badges";
import { type Ask, Client, EventParser, type RunNews, type StoredRun } from "../src/plugin/client";
import { codeOf } from "../src/plugin/code";
import { carryOut } from "../src/plugin/commands";
import { Feed } from "../src/plugin/feed";
import { BUSY, LATER, type Comm, Elsewhere, Remote } from "../src/plugin/remote";
import { StepList } from "../src/plugin/steps";
import { RunTable } from "../src/plugin/table";
import { LiveTail } from "../src/plugin/tail";
import { Watch } from "../src/plugin/watch";

const GRAPH: Graph = {
  schema: 1,
  flow: "sales",
  version: 1,
  mode: "dag",
  nodes: [
    { name: "load", kind: "cell", source: "", reads: [], gives: [], cell: "c1" },
    { name: "plot", kind: "cell", source: "", reads: [], gives: [], cell: "c2" },
  ],
  edges: [],
  inputs: [],
};

const row = (id: string, fields: Partial<StoredRun> = {}): StoredRun => ({
  id,
  flow: "sales",
  version: 1,
  shown_state: "completed",
  reason: "",
  params: {},
  created: 100,
  started: 100,
  ended: 103,
  counts: { completed: 2 },
  here: true,
  ...fields,
});

const picture = (states: string, state = "running"): object => ({
  graph: GRAPH,
  run: { run: "a1", state, states, counts: {}, now: 5, steps: { 0: { started: 1 } } },
});

const sent = (...events: [string, object][]): string =>
  events.map(([kind, data]) => `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`).join("");

/** A server that answers each path with a text; of a stream it may be a list of pieces, which then stays open. */
function server(answers: Record<string, string | string[]>): { ask: Ask; asked: string[] } {
  const asked: string[] = [];
  const ask: Ask = (path) => {
    asked.push(path);
    const answer = answers[path.split("?")[0]!];
    if (answer === undefined)
      return Promise.resolve(new Response(JSON.stringify({ message: `no ${path}` }), { status: 404 }));
    if (typeof answer === "string") return Promise.resolve(new Response(answer));
    const body = new ReadableStream({
      start: (stream) => answer.forEach((piece) => stream.enqueue(new TextEncoder().encode(piece))),
    });
    return Promise.resolve(new Response(body));
  };
  return { ask, asked };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

beforeEach(() => document.body.replaceChildren());

describe("server-sent events", () => {
  it("are the same however the stream was cut", () => {
    const text = sent(["run", { a: "x\n\ny" }], ["run", { b: "é" }]) + ": \n\n" + sent(["runs", {}]);
    const heard = (size: number): [string, string][] => {
      const found: [string, string][] = [];
      const parser = new EventParser((kind, data) => found.push([kind, data]));
      for (let at = 0; at < text.length; at += size) parser.take(text.slice(at, at + size));
      return found;
    };

    expect(heard(1)).toEqual(heard(text.length));
    expect(heard(7)).toEqual([
      ["run", '{"a":"x\\n\\ny"}'],
      ["run", '{"b":"é"}'],
      ["runs", "{}"],
    ]);
  });

  it("of which one tells of a problem end as a refusal in its words", async () => {
    const { ask } = server({ "runs/a1/events": sent(["problem", { message: "the store is damaged" }]) });
    const client = new Client(ask);
    const following = client.followRun(
      "n.ipynb",
      "a1",
      { picture: vi.fn(), news: vi.fn() },
      new AbortController().signal,
    );

    await expect(following).rejects.toThrow("the store is damaged");
  });
});

describe("a feed", () => {
  it("merges what is new into what it has", async () => {
    const news = {
      run: "a1",
      state: "completed",
      states: "cc",
      counts: {},
      now: 6,
      steps: { 1: { ended: 6 } },
      log: ["plot"],
    };
    const { ask } = server({ "runs/a1/events": sent(["picture", picture("rp")], ["run", news]) });
    const feed = new Feed(new Client(ask), vi.fn());
    feed.follow("n.ipynb", "a1");
    await settled();

    expect(feed.picture).toEqual({
      graph: GRAPH,
      run: { run: "a1", state: "completed", states: "cc", counts: {}, now: 6 },
      facts: { 0: { started: 1 }, 1: { ended: 6 } },
    });
    expect([feed.printed, feed.isOpen, feed.problem]).toEqual([["plot"], false, ""]);
  });

  it("says why a run cannot be shown", async () => {
    const feed = new Feed(new Client(server({}).ask), vi.fn());
    feed.follow("n.ipynb", "gone");
    await settled();

    expect(feed.problem).toMatch(/^no runs\/gone/);
  });

  it("hears nothing more once it is closed", async () => {
    const { ask } = server({ "runs/a1/events": [sent(["picture", picture("rp")])] });
    const changed = vi.fn();
    const feed = new Feed(new Client(ask), changed);
    feed.follow("n.ipynb", "a1");
    feed.close();
    await settled();

    expect([feed.picture, changed.mock.calls.length]).toEqual([null, 0]);
  });
});

describe("a watched notebook", () => {
  const flow = JSON.stringify({ flows: [{ name: "sales", graph: GRAPH }] });
  const source = { path: "n.ipynb", cells: () => [] };
  const watching = async (answers: Record<string, string | string[]>): Promise<Watch> => {
    const watch = new Watch(new Client(server(answers).ask));
    watch.look(source);
    watch.resume();
    await settled();
    return watch;
  };

  it("without runs shows its flow as not run", async () => {
    const watch = await watching({ flow, "runs/events": [sent(["runs", { runs: [] }])] });

    expect([watch.flow, watch.feed.picture?.run.state, watch.feed.picture?.run.states]).toEqual([
      "sales",
      "idle",
      "pp",
    ]);
  });

  it("shows the newest run of its flow, not that of another notebook", async () => {
    const runs = [row("b2", { here: false }), row("a1"), row("a0", { flow: "other" })];
    const watch = await watching({
      flow,
      "runs/events": [sent(["runs", { runs }])],
      "runs/a1/events": sent(["picture", picture("cc", "completed")]),
    });

    expect([watch.feed.run, watch.feed.picture?.run.state]).toEqual(["a1", "completed"]);
  });

  it("goes over to a run that begins, and stays with one that a person chose", async () => {
    const first = sent(["runs", { runs: [row("a1"), row("a0")] }]);
    const second = sent(["runs", { runs: [row("a2"), row("a1"), row("a0")] }]);
    let more: (piece: string) => void = () => undefined;
    const ask: Ask = (path) => {
      if (path.startsWith("flow")) return Promise.resolve(new Response(flow));
      if (!path.startsWith("runs/events"))
        return Promise.resolve(new Response(sent(["picture", picture("cc", "completed")])));
      const body = new ReadableStream({
        start: (stream) => {
          more = (piece) => stream.enqueue(new TextEncoder().encode(piece));
          more(first);
        },
      });
      return Promise.resolve(new Response(body));
    };
    const watch = new Watch(new Client(ask));
    watch.look(source);
    watch.resume();
    await settled();
    watch.chooseRun(row("a0"));
    expect(watch.feed.run).toBe("a0");
    more(first);
    await settled();
    expect(watch.feed.run).toBe("a0");
    more(second);
    await settled();
    expect(watch.feed.run).toBe("a2");
  });
});

describe("the table of runs", () => {
  it("tells which row is chosen, opens and chooses, and shows hostile names as text", () => {
    const events = { choose: vi.fn(), open: vi.fn(), delete: vi.fn() };
    const table = new RunTable(events);
    document.body.append(table.node);
    const hostile = row("d4", { flow: "<img src=x onerror=alert(1)>\u202e", reason: '"><script>' });
    table.update([hostile, row("a1")], "d4");
    const [first, second] = table.node.querySelectorAll<HTMLElement>("tbody tr");

    expect([first!.getAttribute("aria-selected"), second!.getAttribute("aria-selected")]).toEqual(["true", "false"]);
    expect(table.node.querySelector("img, script")).toBeNull();
    expect(first!.querySelector(".is-flow")!.textContent).toBe("<img src=x onerror=alert(1)>");
    second!.querySelector<HTMLElement>(".szal-pick")!.click();
    first!.querySelector<HTMLElement>(".szal-open")!.click();
    expect([events.choose.mock.calls[0]![0].id, events.open.mock.calls[0]![0].id]).toEqual(["a1", "d4"]);
  });

  it("deletes a run that has ended, after a question", () => {
    const events = { choose: vi.fn(), open: vi.fn(), delete: vi.fn() };
    const table = new RunTable(events);
    document.body.append(table.node);
    const click = (selector: string): void => table.node.querySelector<HTMLElement>(selector)!.click();
    table.update([row("a1"), row("b2", { shown_state: "running" })], null);
    const offered = [...table.node.querySelectorAll<HTMLElement>(".szal-bin")].map((bin) => !bin.hidden);
    click('[data-id="a1"] .szal-bin');
    click('[data-action="keep"]');
    expect(events.delete).not.toHaveBeenCalled();
    click('[data-id="a1"] .szal-bin');
    expect(document.activeElement!.textContent).toBe("Delete");
    click('[data-action="delete"]');

    expect(offered).toEqual([true, false]);
    expect(events.delete.mock.calls[0]![0].id).toBe("a1");
  });
});

describe("the list of steps", () => {
  const told = (state: RunState): string[] => {
    const list = new StepList(() => undefined);
    const run: Run = { run: "a1", state, states: "cr", counts: {}, now: 9 };
    list.update({ graph: GRAPH, run, facts: { 0: { started: 1, ended: 3 }, 1: { started: Date.now() / 1000 - 90 } } });
    return [...list.node.querySelectorAll(".szal-step-time")].map((time) => time.textContent);
  };

  it("counts the time of a step that is at work", () => {
    expect(told("running")).toEqual(["2.0 s", "1m 30s"]);
  });

  it("does not go on counting where the process is gone: nobody knows how long it was at work", () => {
    expect(told("crashed")).toEqual(["2.0 s", ""]);
  });
});

describe("badges", () => {
  const cells = new Map([
    ["load", "c1"],
    ["added", "c9"],
  ]);
  const shown = {
    graph: GRAPH,
    run: { run: "a1", state: "running", states: "cr", counts: {}, now: 5 },
    facts: { 0: { started: 1, ended: 3.5 } },
  } as never;

  it("say how each step stands, by the cell in which it is now", () => {
    expect(standsOf(cells, shown)).toEqual([
      { step: "load", cell: "c1", state: "completed", time: "2.5 s", text: "load: completed · 2.5 s" },
      { step: "added", cell: "c9", state: "pending", time: "", text: "added: not run yet" },
    ]);
  });

  it("are put at cells that are there, moved with them, and taken away", () => {
    const [one, two] = [document.createElement("div"), document.createElement("div")];
    let homes = new Map([["c1", one]]);
    const badges = new Badges({ cells: () => homes, choose: vi.fn() });
    badges.update(standsOf(cells, shown));
    const label = one.querySelector(".szal-badge")!.getAttribute("aria-label");
    expect([one.children.length, label]).toEqual([1, "Step load: completed · 2.5 s"]);
    badges.update(standsOf(cells, shown));
    expect(one.children.length).toBe(1);

    homes = new Map([["c1", two]]);
    badges.update(standsOf(cells, shown));
    expect([one.children.length, two.children.length]).toEqual([0, 1]);
    badges.clear();
    expect([two.children.length, two.className]).toEqual([0, ""]);
  });
});

describe("what is asked of a run", () => {
  class FakeComm implements Comm {
    isDisposed = false;
    onMsg: Comm["onMsg"] = () => undefined;
    onClose: Comm["onClose"] = () => undefined;
    sent: Record<string, unknown>[] = [];
    open = vi.fn();
    send = (data: unknown): void => void this.sent.push(data as Record<string, unknown>);
    tell = (data: object): void => this.onMsg({ content: { data } });
  }
  const comms: FakeComm[] = [];
  const createComm = (): Comm => comms[comms.push(new FakeComm()) - 1]!;
  beforeEach(() => comms.splice(0));

  const asking = (
    action: Action,
    { step = null as string | null, hasKernel = true, isKernelBusy = false, answers = {} } = {},
  ) => {
    const kernel = { key: "k1", createComm };
    const acknowledged = vi.fn();
    const say = vi.fn();
    const execute = vi.fn(() => Promise.resolve());
    const { ask, asked } = server(answers);
    const done = carryOut(
      { action, step, path: "n.ipynb", flow: "sales", run: "a1", acknowledged, say },
      {
        client: new Client(ask),
        remote: new Remote(() => (hasKernel ? kernel : null)),
        prepare: () => Promise.resolve(["c7"]),
        execute,
        isKernelBusy: () => isKernelBusy,
      },
    );
    return { acknowledged, say, execute, asked, done };
  };

  it("is acknowledged by the kernel that has the run before it is done", async () => {
    const { acknowledged, execute, done } = asking("skip", { step: "plot" });
    const [comm] = comms;
    expect(comm!.sent).toEqual([{ action: "skip", run: "a1", step: "plot", id: 1 }]);
    comm!.tell({ type: "hello", actions: [] });
    comm!.tell({ type: "ack", id: 1 });
    expect(acknowledged).toHaveBeenCalledTimes(1);
    comm!.tell({ type: "done", id: 1 });

    await done;
    expect(execute).not.toHaveBeenCalled();
  });

  it("is refused in the kernel's words", async () => {
    const { done } = asking("skip", { step: "plot" });
    comms[0]!.tell({ type: "refused", id: 1, text: "Step 'plot' is running." });

    await expect(done).rejects.toThrow("Step 'plot' is running.");
  });

  it("is asked over a new comm once the one before is gone", async () => {
    const remote = new Remote(() => ({ key: "k1", createComm }));
    const first = remote.ask({ action: "pause", run: "a1" }, vi.fn());
    comms[0]!.isDisposed = true;
    void remote.ask({ action: "pause", run: "a1" }, vi.fn());

    await expect(first).rejects.toBeInstanceOf(Elsewhere);
    expect(comms.length).toBe(2);
  });

  it("is decided on the record where no kernel runs it, and the answer says what it comes to", async () => {
    const answers = { "runs/a1/answer": '{"message": "Step plot is approved."}' };
    const { say, acknowledged, asked, done } = asking("approve", { step: "plot", hasKernel: false, answers });

    await done;
    expect(say).toHaveBeenCalledWith("Step plot is approved.");
    expect([acknowledged.mock.calls.length, asked]).toEqual([1, ["runs/a1/answer?path=n.ipynb"]]);
  });

  it("goes on with a run that the kernel does not have, and says what no record can do", async () => {
    const resumed = asking("retry", { step: "plot" });
    const [comm] = comms;
    comm!.tell({ type: "unknown", id: 1, text: "This kernel has no run a1." });
    await vi.waitFor(() => expect(comm!.sent.length).toBe(3));
    expect(comm!.sent[2]).toEqual({ action: "resume", flow: "sales", run: "a1", deleted: ["c7"], id: 3 });
    comm!.tell({ type: "unknown", id: 3, text: "Flow 'sales' has no steps" });
    await resumed.done;
    expect(resumed.execute).toHaveBeenCalledWith({ name: "resume", run: "a1" });

    await expect(asking("pause", { hasKernel: false }).done).rejects.toThrow(/cannot be asked to pause.*Resume/s);
  });

  it("begins a run by the kernel, which has heard at once", async () => {
    const { execute, say, acknowledged, done } = asking("only", { step: "plot" });
    const [comm] = comms;
    expect(comm!.sent).toEqual([{ action: "ping", id: 1 }]);
    comm!.tell({ type: "ack", id: 1 });
    expect(acknowledged).toHaveBeenCalledTimes(1);
    await vi.waitFor(() => expect(comm!.sent.length).toBe(2));
    expect(comm!.sent[1]).toEqual({ action: "only", flow: "sales", step: "plot", deleted: ["c7"], id: 2 });
    comm!.tell({ type: "ack", id: 2 });
    comm!.tell({ type: "done", id: 2, run: "b2" });

    await done;
    expect([execute.mock.calls.length, say.mock.calls.length]).toEqual([0, 0]);
  });

  it("says what it waits for while a cell blocks the kernel, and takes it back", async () => {
    vi.useFakeTimers();
    const { say, done } = asking("fork", { step: "plot" });
    comms[0]!.tell({ type: "ack", id: 1 });
    await vi.advanceTimersByTimeAsync(1100);
    expect(say.mock.calls).toEqual([[LATER]]);
    comms[0]!.tell({ type: "done", id: 2, run: "b2" });
    await done;
    vi.useRealTimers();

    expect(say.mock.calls).toEqual([[LATER], [""]]);
  });

  it("begins a run by code where the kernel knows no flow, and says so when it is busy with a cell", async () => {
    const { execute, say, done } = asking("run", { isKernelBusy: true });
    await vi.waitFor(() => expect(comms[0]!.sent.length).toBe(2));
    comms[0]!.onClose({});

    await done;
    expect(execute).toHaveBeenCalledWith({ name: "run", flow: "sales" });
    expect(say.mock.calls[0]![0]).toBe(BUSY);
  });
});

describe("a run that a kernel tells of", () => {
  const graph = { nodes: [] } as unknown as Graph;
  const news = { run: "a1", state: "running", states: "r", steps: {} } as unknown as RunNews;
  let comm: Comm & { sent: object[]; tell(data: object): void; isDisposed: boolean };
  const remote = (): Remote =>
    new Remote(() => ({
      key: "k1",
      createComm: () => {
        comm = {
          isDisposed: false,
          onMsg: () => undefined,
          onClose: () => undefined,
          sent: [],
          open: () => undefined,
          send: (data) => void comm.sent.push(data as object),
          tell: (data) => comm.onMsg({ content: { data } }),
        };
        return comm;
      },
    }));
  const listening = (answers: Record<string, string> = {}, told = { picture: vi.fn(), news: vi.fn() }) => {
    const { ask, asked } = server(answers);
    const stop = new AbortController();
    const done = new LiveTail(new Client(ask), remote()).followRun("n.ipynb", "a1", told, stop.signal);
    return { told, asked, stop, done };
  };

  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("is shown to its end, and no server is asked", async () => {
    const { told, asked, done } = listening();
    expect(comm.sent).toEqual([{ action: "follow", run: "a1", id: 1 }]);
    comm.tell({ type: "picture", of: 1, graph, run: news });
    comm.tell({ type: "news", of: 1, run: news });
    comm.tell({ type: "news", of: 7, run: news });
    comm.tell({ type: "over", of: 1 });

    await done;
    expect([told.picture.mock.calls, told.news.mock.calls]).toEqual([[[graph, news]], [[news]]]);
    expect(asked).toEqual([]);
    expect(comm.sent.at(-1)).toEqual({ action: "unfollow", of: 1 });
  });

  it.each([
    ["does not have it", () => comm.tell({ type: "unknown", id: 1, text: "It has ended." })],
    ["is held by a cell", () => vi.advanceTimersByTime(2100)],
    ["is gone", () => ((comm.isDisposed = true), vi.advanceTimersByTime(1100))],
    ["knows no flows", () => comm.onClose({})],
  ])("is read from the record where the kernel %s", async (_why, happens) => {
    const { asked, done } = listening({ "runs/a1/events": "" });
    happens();

    await done;
    expect(asked).toEqual(["runs/a1/events?path=n.ipynb"]);
  });

  it("is let go when nobody looks", async () => {
    const { asked, stop, done } = listening();
    stop.abort();

    await done;
    expect(asked).toEqual([]);
  });
});

describe("the code of commands", () => {
  it("is one line that calls the magic", () => {
    expect(codeOf({ name: "run", flow: "sales", until: "by_month" })).toBe(
      'get_ipython().run_line_magic("szal_run", "sales --until by_month");',
    );
    expect(codeOf({ name: "fork", run: "a1", from: "by month" })).toBe(
      `get_ipython().run_line_magic("szal_fork", "a1 --from 'by month'");`,
    );
    expect(codeOf({ name: "resume" })).toBe('get_ipython().run_line_magic("szal_resume", "");');
    expect(codeOf({ name: "cancel", run: "a1" })).toBe('get_ipython().run_line_magic("szal_cancel", "a1");');
  });

  it("keeps a hostile name one word of the line and inside of its string", () => {
    expect(codeOf({ name: "run", only: `a b'"\n;import os` })).toBe(
      `get_ipython().run_line_magic("szal_run", "--only 'a b'\\"'\\"'\\"\\n;import os'");`,
    );
    expect(codeOf({ name: "run", flow: "--wait" })).toBe(`get_ipython().run_line_magic("szal_run", "'--wait'");`);
  });
});
