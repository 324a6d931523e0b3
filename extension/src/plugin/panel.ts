// The side panel: the flow of the active notebook with its picture, and the runs of its store below.
import { html, setText } from "../dag/dom";
import { oneLine } from "../dag/format";
import { TOOL_ICONS, icon } from "../dag/icons";
import { followTheme } from "../dag/theme";
import { type Client, Refusal, type StoredRun } from "./client";
import { type PictureHost, RunPicture } from "./picture";
import { StepList } from "./steps";
import { RunTable } from "./table";
import type { Watch } from "./watch";

export interface PanelHost extends PictureHost {
  openRun(run: StoredRun): void;
  openShown(): void;
}

const TICK_MS = 1000;

/** The panel without its place in JupyterLab. It wears the picture's own visual language. */
export class SidePanel {
  readonly node: HTMLElement;
  private readonly name = html("h2", { class: "szal-notebook" });
  private readonly flows = html("select", { class: "szal-flows", "aria-label": "Flow" });
  private readonly open = html(
    "button",
    { type: "button", class: "szal-tool", title: "Open the DAG in a tab", "aria-label": "Open the DAG in a tab" },
    icon(TOOL_ICONS.open),
  );
  private readonly problem = html("p", { class: "szal-problem", role: "status" });
  private readonly hint = html("div", { class: "szal-hint" });
  private readonly place = html("div", { class: "szal-picture" });
  private readonly steps: StepList;
  private readonly table: RunTable;
  private said = "";
  private picture: RunPicture | null = null;
  private timer: ReturnType<typeof setInterval> | null = null;
  private stopTheme: (() => void) | null = null;

  constructor(
    private readonly client: Client,
    private readonly watch: Watch,
    private readonly host: PanelHost,
  ) {
    this.table = new RunTable({
      choose: (run) => watch.chooseRun(run),
      open: (run) => host.openRun(run),
      delete: (run) => void this.delete(run),
    });
    this.steps = new StepList((step) => host.openStep(step));
    this.flows.addEventListener("change", () => watch.chooseFlow(this.flows.value));
    this.open.addEventListener("click", () => host.openShown());
    this.node = html(
      "div",
      { class: "szal-dag szal-side", "aria-label": "Flows and runs" },
      html("div", { class: "szal-side-head" }, this.name, this.flows, this.open),
      this.problem,
      this.hint,
      this.place,
      this.steps.node,
      this.table.node,
    );
    watch.onChange(() => this.draw());
  }

  /** The panel is seen: it builds its picture and keeps it up to date. */
  show(): void {
    this.stopTheme ??= followTheme(this.node);
    this.timer ??= setInterval(() => this.tick(), TICK_MS);
    this.draw();
  }

  /** The panel is not seen: nothing of it is in the page. */
  hide(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.stopTheme?.();
    this.stopTheme = null;
    this.drop();
  }

  private async delete(run: StoredRun): Promise<void> {
    try {
      await this.client.delete(this.watch.path ?? "", run.id);
      this.said = "";
    } catch (error) {
      this.said = error instanceof Refusal ? error.message : "The server does not answer.";
    }
    this.draw();
  }

  private tick(): void {
    this.table.tick();
    this.steps.update(this.watch.feed.picture);
  }

  private drop(): void {
    this.picture?.dispose();
    this.picture = null;
  }

  private draw(): void {
    if (this.timer === null) return;
    const { watch } = this;
    const { path } = watch;
    setText(this.name, path === null ? "Flows and runs" : oneLine(path.split("/").at(-1) ?? path, 80));
    this.drawFlows();
    const flow = watch.flows.find((found) => found.name === watch.flow);
    setText(this.problem, this.said || watch.problem || flow?.problem || watch.feed.problem);
    this.problem.hidden = !this.problem.textContent;
    this.drawHint();
    this.drawPicture();
    this.table.node.hidden = path === null || (!watch.runs.length && !watch.flows.length);
    this.table.update(watch.runs, watch.feed.run);
  }

  private drawFlows(): void {
    const names = this.watch.flows.map((flow) => flow.name);
    this.flows.hidden = names.length < 2;
    if ([...this.flows.options].map((option) => option.value).join("\n") !== names.join("\n"))
      this.flows.replaceChildren(...names.map((name) => html("option", { value: name }, name)));
    if (this.watch.flow !== null && this.flows.value !== this.watch.flow) this.flows.value = this.watch.flow;
    this.open.hidden = !this.watch.feed.picture;
  }

  private drawHint(): void {
    const { watch } = this;
    const isEmpty = !watch.feed.picture && !this.problem.textContent;
    this.hint.hidden = !isEmpty;
    if (!isEmpty) return;
    const said =
      watch.path === null
        ? ["Open a notebook: its flow, and the runs of it, show here."]
        : [
            html("p", {}, "No steps yet. Put a line on top of a cell and execute it:"),
            html("pre", {}, "%load_ext szal_nb"),
            html("pre", {}, "%%szal_step load\ndata = read()"),
          ];
    this.hint.replaceChildren(...said);
  }

  private drawPicture(): void {
    this.steps.update(this.watch.feed.picture);
    if (!this.watch.feed.picture) {
      this.drop();
      return;
    }
    if (!this.picture) {
      this.picture = new RunPicture(this.client, this.watch.feed, this.host);
      this.place.replaceChildren(this.picture.node);
      this.picture.attached();
    }
    this.picture.update();
  }
}
