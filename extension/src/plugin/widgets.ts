// The panel and the tab as widgets of JupyterLab: they are kept up to date only while they are seen.
import { Widget } from "@lumino/widgets";
import { html } from "../dag/dom";
import type { Action, Graph } from "../dag/state";
import type { Client } from "./client";
import type { Asked } from "./commands";
import { Feed } from "./feed";
import { type PanelHost, SidePanel } from "./panel";
import { RunPicture } from "./picture";
import type { Tail } from "./tail";
import type { Watch } from "./watch";

export class SideWidget extends Widget {
  private readonly panel: SidePanel;

  constructor(client: Client, watch: Watch, host: PanelHost) {
    super();
    this.id = "szal-flows-and-runs";
    this.title.caption = "Flows and runs";
    this.addClass("szal-panel-home");
    this.panel = new SidePanel(client, watch, host);
    this.node.append(this.panel.node);
  }

  protected override onAfterShow(): void {
    this.panel.show();
  }

  protected override onAfterAttach(): void {
    if (this.isVisible) this.panel.show();
  }

  protected override onAfterHide(): void {
    this.panel.hide();
  }
}

const BEGINS: ReadonlySet<Action> = new Set(["run", "only", "fork"]);

export interface TabHost {
  act(asked: Asked): Promise<string | undefined>;
  openStep(step: string): void;
}

interface Shown {
  path: string;
  flow: string;
  run: string | null;
  graph: Graph | null;
}

/** One run, or a flow that was not run, in a tab of its own. It goes over to the run that its own button starts. */
export class RunTab extends Widget {
  private readonly feed: Feed;
  private readonly picture: RunPicture;

  constructor(
    client: Client,
    tail: Tail,
    private readonly shown: Shown,
    host: TabHost,
  ) {
    super();
    this.addClass("szal-tab-home");
    this.feed = new Feed(tail, () => this.picture.update());
    this.picture = new RunPicture(client, this.feed, {
      act: async (action, step, told) => {
        const begun = await host.act({ action, step, path: shown.path, flow: shown.flow, run: this.feed.run, ...told });
        if (!BEGINS.has(action)) return;
        const run = begun ?? (await client.newestRun(shown.path, shown.flow))?.id;
        if (run !== undefined) this.follow(run);
      },
      openStep: (step) => host.openStep(step),
    });
    this.node.append(html("div", {}, this.picture.node));
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.feed.close();
    this.picture.dispose();
    super.dispose();
  }

  protected override onAfterAttach(): void {
    this.picture.attached();
    if (this.isVisible) this.onAfterShow();
  }

  protected override onAfterShow(): void {
    if (this.shown.run !== null) this.follow(this.shown.run);
    else if (this.shown.graph) this.feed.showFlow(this.shown.graph);
  }

  protected override onAfterHide(): void {
    this.feed.close();
  }

  private follow(run: string): void {
    this.shown.run = run;
    this.feed.follow(this.shown.path, run);
  }
}
