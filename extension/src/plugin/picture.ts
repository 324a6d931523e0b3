// A picture of the server's record: one DagView, its details and its history, hosted in a page of JupyterLab.
import type { Action } from "../dag/state";
import { DagView } from "../dag/view";
import { type Client, Refusal } from "./client";
import type { Asked } from "./commands";
import type { Feed } from "./feed";
import { BUSY } from "./remote";

export interface PictureHost {
  /** Carries out what a button asks for, and tells how it goes; rejects with the reason why not. */
  act(action: Action, step: string | null, told: Pick<Asked, "acknowledged" | "say">): Promise<unknown>;
  openStep(step: string): void;
}

const ACTIONS: readonly Action[] = [
  "run",
  "pause",
  "resume",
  "cancel",
  "retry",
  "approve",
  "reject",
  "skip",
  "fork",
  "only",
];

export class RunPicture {
  readonly node: HTMLElement;
  private readonly view: DagView;
  private isAttached = false;
  private nextId = 1;
  private watched: { run: string; step: string } | null = null;

  constructor(
    private readonly client: Client,
    private readonly feed: Feed,
    private readonly host: PictureHost,
  ) {
    this.view = new DagView(
      {
        send: (action, step) => this.send(action, step),
        askDetails: (step) => void this.askDetails(step),
        askLog: (step) => void this.askLog(step),
        askHistory: () => void this.askHistory(),
        openStep: (step) => host.openStep(step),
        unanswered: () => this.tell(BUSY),
      },
      ACTIONS,
    );
    this.node = this.view.node;
  }

  /** To be called once the node is in its document. */
  attached(): void {
    if (!this.isAttached) this.view.attached();
    this.isAttached = true;
  }

  /** Draws what the feed has. */
  update(): void {
    const { picture } = this.feed;
    if (!picture) return;
    if (picture.run.now) this.view.setClock(picture.run.now);
    this.view.update(picture);
    const { run, step } = this.watched ?? {};
    if (step === undefined || run !== this.feed.run) return;
    const index = picture.graph.nodes.findIndex((node) => node.name === step);
    if (index >= 0 && (this.feed.printed.includes(step) || this.hasMoved(index))) void this.askDetails(step);
  }

  dispose(): void {
    this.view.dispose();
  }

  private stand = "";

  /** Whether the watched step is in another state than when it was last looked at. */
  private hasMoved(index: number): boolean {
    const { picture } = this.feed;
    const stand = `${picture!.run.states[index]}/${picture!.facts[index]?.attempts ?? 0}`;
    const hasMoved = stand !== this.stand;
    this.stand = stand;
    return hasMoved;
  }

  private send(action: Action, step: string | null): number {
    const id = this.nextId++;
    const told = { acknowledged: () => this.acknowledged(id), say: (text: string) => this.tell(text) };
    this.host.act(action, step, told).then(
      () => this.acknowledged(id),
      (error: unknown) => this.view.refused(id, error instanceof Error ? error.message : String(error)),
    );
    return id;
  }

  private told = "";

  private tell(text: string): void {
    this.told = text;
    this.view.refused(null, text);
  }

  private acknowledged(id: number): void {
    this.view.acknowledged(id);
    if (this.told === BUSY) this.tell("");
  }

  private async askDetails(step: string): Promise<void> {
    const { path, run, picture } = this.feed;
    if (path === null || run === null) {
      const node = picture?.graph.nodes.find((found) => found.name === step);
      if (node) this.view.setDetails({ step, inputs: node.reads, values: [], attempts: [], error: null, outputs: [] });
      return;
    }
    this.watched = { run, step };
    try {
      const details = await this.client.details(path, run, step);
      if (this.feed.run === run) this.view.setDetails(details);
    } catch (error) {
      this.say(error);
    }
  }

  private async askLog(step: string): Promise<void> {
    const { path, run } = this.feed;
    if (path === null || run === null) return;
    try {
      const pieces = await this.client.log(path, run, step);
      if (this.feed.run === run) this.view.setLog(step, pieces);
    } catch (error) {
      this.say(error);
    }
  }

  private async askHistory(): Promise<void> {
    const { path, run } = this.feed;
    if (path === null || run === null) {
      this.view.setHistory([], []);
      return;
    }
    try {
      const { attempts, frames } = await this.client.history(path, run);
      if (this.feed.run === run) this.view.setHistory(attempts, frames);
    } catch (error) {
      this.say(error);
    }
  }

  private say(error: unknown): void {
    this.view.refused(null, error instanceof Refusal ? error.message : "The server does not answer.");
  }
}
