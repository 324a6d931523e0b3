import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Frame } from "../src/dag/history";
import type { TimedAttempt } from "../src/dag/lanes";
import { farewell } from "../src/dag/farewell";
import type { Action, Picture } from "../src/dag/state";
import type { Host } from "../src/dag/host";
import { DagView } from "../src/dag/view";
import { type Moment, contract, sales, salesDetails } from "./contract";

const ALL: Action[] = ["run", "pause", "resume", "cancel", "retry", "approve", "reject", "skip", "fork", "only"];

let view: DagView;
let sent: [action: string, step: string | null][];
let asked: string[];
let opened: string[];

function show(picture: Picture): void {
  view.update(picture);
  vi.advanceTimersByTime(20);
}

beforeEach(() => {
  vi.useFakeTimers({
    now: 1_700_000_504_900,
    toFake: [
      "setTimeout",
      "clearTimeout",
      "setInterval",
      "clearInterval",
      "requestAnimationFrame",
      "cancelAnimationFrame",
      "Date",
    ],
  });
  sent = [];
  asked = [];
  opened = [];
  const host: Host = {
    send: (action, step) => sent.push([action, step]),
    askDetails: (step) => void asked.push(step),
    askLog: (step) => void asked.push(`log ${step}`),
    askHistory: (since) => void asked.push(`history ${since}`),
    openStep: (step) => void opened.push(step),
  };
  view = new DagView(host, ALL);
  document.body.replaceChildren(view.node);
  view.attached();
});

afterEach(() => {
  view.dispose();
  vi.useRealTimers();
});

const step = (name: string): HTMLElement => view.node.querySelector<HTMLElement>(`[data-step="${name}"]`)!;
const card = (name: string): HTMLButtonElement => step(name).querySelector<HTMLButtonElement>(".szal-card")!;
const shownActions = (): string[] =>
  [...view.node.querySelectorAll<HTMLButtonElement>("button[data-action]")]
    .filter((button) => !button.closest("[hidden]"))
    .map((button) => `${button.dataset["action"]}${button.dataset["for"] ? ` ${button.dataset["for"]}` : ""}`);
const button = (action: string): HTMLButtonElement =>
  view.node.querySelector<HTMLButtonElement>(`.szal-header [data-action="${action}"]`)!;
// What is not broken within is still read as spaces.
const plain = (element: Element | null): string => element!.textContent!.replace(/\u00a0/g, " ");
const message = (): string => view.node.querySelector(".szal-message")!.textContent!;
const press = (target: Element, key: string): void =>
  void target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));

describe("the states", () => {
  it("are on every node, and the run's on the root", () => {
    show(sales("failed"));

    const states = Object.fromEntries(
      [...view.node.querySelectorAll<HTMLElement>("[data-step]")].map((node) => [
        node.dataset["step"],
        node.dataset["state"],
      ]),
    );
    expect(states).toEqual({
      load: "completed",
      clean: "completed",
      by_region: "failed",
      by_month: "completed",
      plot: "completed",
      summary: "skipped",
    });
    expect(view.node.dataset["run"]).toBe("20250101-120000-ab12");
    expect(view.node.dataset["runState"]).toBe("failed");
  });

  it("are told in words as well as in colour and icon", () => {
    show(sales("failed"));

    expect(plain(step("by_region").querySelector(".szal-fact"))).toBe("failed · KeyError: 'Region'");
    expect(plain(card("summary"))).toBe("summaryskipped · by_region failed");
    expect(plain(step("load").querySelector(".szal-fact"))).toBe("completed · try 2 · 10,000 × 4");
    expect(step("load").querySelector(".szal-time")!.textContent).toBe("1.2 s");
  });

  it("change without moving or remaking a node", () => {
    const running = sales("running");
    show(running);
    const before = card("by_region");
    const transforms = [...view.node.querySelectorAll<HTMLElement>(".szal-node")].map((node) => node.style.transform);

    show({ ...sales("failed"), graph: running.graph });

    expect(card("by_region")).toBe(before);
    expect([...view.node.querySelectorAll<HTMLElement>(".szal-node")].map((node) => node.style.transform)).toEqual(
      transforms,
    );
  });

  it("are drawn once a frame, the last of several", () => {
    const running = sales("running");
    view.update(running);
    view.update({ ...sales("idle"), graph: running.graph });
    view.update({ ...sales("failed"), graph: running.graph });
    expect(view.node.querySelector("[data-step]")).toBeNull();

    vi.advanceTimersByTime(20);

    expect(view.node.dataset["runState"]).toBe("failed");
  });

  it("tick while a step runs, by the kernel's clock", () => {
    const running = sales("running");
    show(running);
    view.setClock(running.run.now!);
    expect(step("by_region").querySelector(".szal-time")!.textContent).toBe("8m 21s");

    vi.advanceTimersByTime(1000);

    expect(step("by_region").querySelector(".szal-time")!.textContent).toBe("2.2 s");
    expect(plain(view.node.querySelector(".szal-said"))).toBe("2 of 6 completed · 2 running · 5.8 s");
  });
});

describe("the buttons", () => {
  it.each<[Moment, string[]]>([
    ["idle", ["run"]],
    ["running", ["pause", "cancel"]],
    ["waiting", ["pause", "cancel", "approve by_month"]],
    ["failed", ["run", "resume", "retry by_region"]],
    ["crashed", ["run", "resume"]],
  ])("of a run that is %s are those that make sense", (moment, actions) => {
    show(sales(moment));

    expect(shownActions()).toEqual(actions);
  });

  it("do not go on with a run whose answer is in doubt", () => {
    const picture = sales("failed");
    show({ ...picture, run: { ...picture.run, doubted: "by_region" } });

    expect(shownActions()).toEqual(["run"]);
    view.setConnected(false);
    expect(message()).toContain("in doubt: %szal_run --reuse 20250101-120000-ab12 takes from it what is not.");
  });

  it("are only those that the host understands", () => {
    view.dispose();
    view = new DagView(
      { send: () => 0, askDetails: () => undefined, askLog: () => undefined, askHistory: () => undefined },
      ["cancel"],
    );
    show(sales("running"));

    expect(shownActions()).toEqual(["cancel"]);
  });

  it("are none where nobody listens", () => {
    view.dispose();
    view = new DagView();
    show(sales("running"));

    expect(shownActions()).toEqual([]);
  });

  it("show at once that a command is on its way, and are quiet when the state confirms it", () => {
    const running = sales("running");
    show(running);

    button("cancel").click();
    expect(sent).toEqual([["cancel", null]]);
    expect(button("cancel").dataset["sent"]).toBe("sent");

    view.acknowledged(1);
    expect(button("cancel").dataset["sent"]).toBe("acknowledged");

    show({ ...running, run: { ...running.run, cancelling: true } });
    expect(button("cancel").dataset["sent"]).toBeUndefined();
    expect(view.node.querySelector(".szal-state")!.textContent).toBe("cancelling");
  });

  it("send one command however often they are pressed while it is on its way", () => {
    show(sales("running"));

    button("cancel").click();
    button("cancel").click();

    expect(sent).toEqual([["cancel", null]]);
  });

  it("say why a command was refused", () => {
    show(sales("running"));
    button("pause").click();

    view.refused(1, "The run ended while you pressed.");

    expect(button("pause").dataset["sent"]).toBeUndefined();
    expect(message()).toBe("The run ended while you pressed.");
  });

  it("rest, with the reason, when the kernel does not answer for three seconds, and come back with it", () => {
    show(sales("running"));
    button("cancel").click();

    vi.advanceTimersByTime(3100);
    expect(button("cancel").disabled).toBe(true);
    expect(message()).toContain("The kernel does not answer");

    view.setConnected(true);
    expect(button("cancel").disabled).toBe(false);
    expect(message()).toBe("");
  });

  it("rest in a saved picture, which says how the run can go on", () => {
    show(sales("failed"));

    view.setConnected(false);

    expect(message()).toBe(
      "No kernel answers for this picture: it is as it was saved. %szal_resume 20250101-120000-ab12 goes on from the last completed step.",
    );
  });

  it.each([
    ["rolled_back", "%szal_run begins a new run."],
    ["rolling_back", "%szal_resume 20250101-120000-ab12 goes on undoing what it had done."],
    ["completed", "it is as it was saved."],
  ] as const)("of a run that is %s say what works", (state, end) => {
    const { run } = sales("failed");

    expect(farewell({ ...run, state })).toMatch(new RegExp(`${end.replaceAll(".", "\\.")}$`));
  });

  it("fork from a moment of the past, and ask for nothing else there", () => {
    show(sales("failed"));
    const { timeline, frames } = contract<{ timeline: TimedAttempt[]; frames: Frame[] }>("sales_history");
    view.setHistory(timeline, frames);
    view.showTimeline(true);
    card("clean").click();
    const offered = (): string[] =>
      [...view.node.querySelectorAll<HTMLElement>(".szal-panel .szal-actions button:not([hidden])")].map(
        (found) => found.textContent!,
      );
    expect(offered()).toEqual(["Run from here", "Only this"]);
    const range = view.node.querySelector<HTMLInputElement>(".szal-range")!;
    range.value = "8";
    range.dispatchEvent(new Event("input"));
    vi.advanceTimersByTime(20);

    expect(view.node.dataset["runState"]).toBe("running");
    expect(offered()).toEqual(["Fork from here"]);
    view.node.querySelector<HTMLElement>('.szal-panel [data-action="fork"]')!.click();
    expect(sent).toEqual([["fork", "clean"]]);
  });

  it("list how the elements of a mapped step ended, as text", () => {
    show(sales("failed"));
    card("load").click();
    const shown = [
      { position: 3, attempts: 2, error: "KeyError: '<b>'", gave: "" },
      { position: 0, attempts: 1, error: "", gave: "DataFrame" },
    ];
    view.setDetails({ ...salesDetails("load"), elements: { ended: 7, failed: 1, shown } });
    view.node.querySelector<HTMLElement>('[data-tab="attempts"]')!.click();

    expect(view.node.querySelector(".szal-panel-body h3")!.textContent).toBe("7 elements ended · 1 failed · 2 shown");
    expect([...view.node.querySelectorAll(".szal-elements tr")].map((row) => row.textContent)).toEqual([
      "3failed · try 2KeyError: '<b>'",
      "0completedDataFrame",
    ]);
  });

  it("tell the size of what flows at the edges of the step that is looked at", () => {
    show(sales("failed"));
    const sizes = (): (string | null)[] =>
      [...view.node.querySelectorAll(".szal-lit text")].map((text) => text.textContent);
    expect(sizes()).toEqual([]);

    card("clean").click();

    expect(sizes()).toEqual(["10,000 × 4 · 1.2 MB", "9,874 × 4 · 1.2 MB"]);
  });

  it("say why a step could not be undone", () => {
    const picture = sales("failed");
    show({
      ...picture,
      facts: { ...picture.facts, 0: { ...picture.facts[0], rollback_error: "OSError: <b>no bank" } },
    });
    card("load").click();

    expect(plain(step("load").querySelector(".szal-fact"))).toContain("not undone: OSError");
    expect(view.node.querySelector(".szal-panel-body .szal-traceback")!.textContent).toBe("OSError: <b>no bank");
  });

  it("act on the step they stand at", () => {
    show(sales("failed"));

    step("by_region").querySelector<HTMLButtonElement>(".szal-quick")!.click();

    expect(sent).toEqual([["retry", "by_region"]]);
  });
});

describe("the panel", () => {
  const text = (): string => view.node.querySelector(".szal-panel-body")!.textContent!;
  const turnTo = (tab: string): void => view.node.querySelector<HTMLElement>(`[data-tab="${tab}"]`)!.click();

  it("opens at a click, asks for the details and shows them", () => {
    show(sales("failed"));
    card("by_region").click();
    expect(asked).toEqual(["by_region"]);
    expect(text()).toContain("KeyError: 'Region'");

    view.setDetails(salesDetails("by_region"));

    expect(view.node.querySelector(".szal-traceback")!.textContent).toContain("Cell In[4], line 2");
    expect(view.node.querySelector(".szal-traceback .szal-ansi-red")!.textContent).toBe("KeyError");
    expect(text()).toContain("from clean");
  });

  it("shows code with the failing line marked, the log in its colours, attempts and reasons", () => {
    show(sales("failed"));
    card("by_region").click();
    view.setDetails(salesDetails("by_region"));

    turnTo("code");
    expect(view.node.querySelector(".szal-code")!.textContent).toBe(
      "%%szal_step by_region\nregions = f(orders)  # by_region",
    );
    expect(view.node.querySelector<HTMLElement>(".szal-code-mark")!.style.getPropertyValue("--line")).toBe("1");
    turnTo("log");
    expect(view.node.querySelector(".szal-ansi-green")!.textContent).toBe("ok");
    expect(view.node.querySelector(".is-stderr")!.textContent).toBe("one file is old\n");
    turnTo("attempts");
    expect(text()).toContain("failed · 400 ms");
    turnTo("why");
    expect(text()).toContain("by_region reads orders, which clean gives");
  });

  it("leads along its reasons to other steps", () => {
    show(sales("failed"));
    card("summary").click();
    turnTo("why");
    expect(text()).toContain("--pure months");

    [...view.node.querySelectorAll<HTMLButtonElement>(".szal-link")]
      .find((link) => link.textContent === "plot")!
      .click();

    expect(view.node.querySelector(".szal-panel-name")!.textContent).toBe("plot");
    expect(step("plot").classList).toContain("is-selected");
  });

  it("ignores details of a step that is no longer shown", () => {
    show(sales("failed"));
    card("plot").click();

    view.setDetails(salesDetails("by_region"));

    expect(text()).not.toContain("Cell In[4]");
  });

  it("keeps what it shows while nothing of it changes", () => {
    const failed = sales("failed");
    show(failed);
    card("by_region").click();
    view.setDetails(salesDetails("by_region"));
    const before = view.node.querySelector(".szal-traceback");

    show({ ...failed, run: { ...failed.run, events: 99 } });

    expect(view.node.querySelector(".szal-traceback")).toBe(before);
  });

  it("draws markup of a step in a frame that can run and load nothing", () => {
    show(sales("failed"));
    card("by_region").click();
    view.setDetails(salesDetails("by_region"));

    const frame = view.node.querySelector("iframe")!;
    expect(frame.getAttribute("sandbox")).toBe("");
    expect(frame.srcdoc).toContain("default-src 'none'");
    expect(document.title).not.toBe("taken");
  });

  it("closes with Escape", () => {
    show(sales("failed"));
    card("plot").click();

    press(card("plot"), "Escape");

    expect(view.node.querySelector<HTMLElement>(".szal-panel")!.hidden).toBe(true);
    expect(view.node.querySelector(".is-selected")).toBeNull();
  });
});

describe("the keyboard", () => {
  const focused = (): string =>
    (document.activeElement as HTMLElement).closest<HTMLElement>("[data-step]")!.dataset["step"]!;

  it("walks along the edges and across a rank", () => {
    show(sales("failed"));
    const scene = view.node.querySelector<HTMLElement>(".szal-scene")!;
    card("clean").focus();
    if (scene.dataset["direction"] === "TB") press(card("clean"), "t");
    expect(scene.dataset["direction"]).toBe("LR");
    const [on, back, beside, before] = ["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"];

    press(document.activeElement!, on!);
    const first = focused();
    press(document.activeElement!, first === "by_region" ? beside! : before!);
    const other = focused();
    press(document.activeElement!, back!);

    expect([first, other].sort()).toEqual(["by_month", "by_region"]);
    expect(focused()).toBe("clean");
  });

  it("has one stop among all the steps", () => {
    show(sales("failed"));
    card("clean").focus();
    press(card("clean"), "End");

    expect([...view.node.querySelectorAll<HTMLElement>(".szal-card")].map((node) => node.tabIndex)).toEqual([
      -1, -1, -1, -1, -1, 0,
    ]);
    expect(focused()).toBe("summary");
  });

  it("finds a step by its name or by a name that it gives", () => {
    show(sales("failed"));
    const search = view.node.querySelector<HTMLInputElement>(".szal-search")!;
    search.value = "orders";
    search.dispatchEvent(new Event("input"));
    expect(
      [...view.node.querySelectorAll<HTMLElement>(".szal-node:not(.is-dim)")].map((node) => node.dataset["step"]),
    ).toEqual(["load", "clean"]);

    press(search, "Enter");
    expect(focused()).toBe("load");
  });

  it("keeps what is typed in the search from the notebook's shortcuts", () => {
    show(sales("failed"));
    const heard = vi.fn();
    document.body.addEventListener("keydown", heard);

    press(view.node.querySelector(".szal-search")!, "d");

    expect(heard).not.toHaveBeenCalled();
    document.body.removeEventListener("keydown", heard);
  });
});

it("jumps to the step's cell at a double click", () => {
  show(sales("failed"));

  card("plot").dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));

  expect(opened).toEqual(["plot"]);
});

it("shows a name that is markup, or very long, as the text that it is", () => {
  const picture = sales("failed");
  const hostile = [
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "x".repeat(1_000_000),
    "</style><script>alert(1)</script>",
  ];
  picture.graph.nodes.forEach((node, at) => {
    if (at < hostile.length) node.name = hostile[at]!;
  });
  show(picture);

  expect(view.node.querySelectorAll(".szal-name img, .szal-name script")).toHaveLength(0);
  const names = [...view.node.querySelectorAll(".szal-name")].map((name) => name.textContent!);
  expect(names[0]).toBe("<img src=x onerror=alert(1)>");
  expect(names[1]).toBe("gnp.exe");
  expect(names[2]).toHaveLength(80);
});

it("leaves nothing behind when it is disposed", () => {
  show(sales("running"));
  button("cancel").click();

  view.dispose();

  expect(vi.getTimerCount()).toBe(0);
  expect(view.node.isConnected).toBe(false);
});
