// The JupyterLab plugin: joins the panel, the badges and the commands with JupyterLab.
import {
  type ILayoutRestorer as Restorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
  ILayoutRestorer,
} from "@jupyterlab/application";
import { ICommandPalette, MainAreaWidget, Notification } from "@jupyterlab/apputils";
import { URLExt } from "@jupyterlab/coreutils";
import { IMainMenu } from "@jupyterlab/mainmenu";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { ServerConnection } from "@jupyterlab/services";
import { LabIcon } from "@jupyterlab/ui-components";
import { css } from "../dag/style";
import { Badges, standsOf } from "./badges";
import { Client, type StoredRun } from "./client";
import type { Command } from "./code";
import { type Asked, carryOut } from "./commands";
import { NotReady, command, prepare } from "./kernel";
import { cellTexts, goToCell, isPython } from "./notebook";
import { Remote } from "./remote";
import { LiveTail } from "./tail";
import { Watch } from "./watch";
import { RunTab, SideWidget } from "./widgets";
import pluginCss from "./style.css";

const READ_AFTER_MS = 500;
const CATEGORY = "Flow";
const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" width="16"><path class="jp-icon3" fill="#616161" d="M1.5 2.5h5v3h-1.75v1.1l3.2 2.1 3.3-2.1V5.5H9.5v-3h5v3h-1.75v1.9L8.5 10.1v.9h1.75v3h-4.5v-3h1.25v-.9L3.25 7.4V5.5H1.5z"/></svg>';

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  palette: ICommandPalette | null,
  menu: IMainMenu | null,
  restorer: Restorer | null,
): void {
  document.head.append(Object.assign(document.createElement("style"), { textContent: css + pluginCss }));
  const settings = ServerConnection.makeSettings();
  const client = new Client((path, init) =>
    ServerConnection.makeRequest(URLExt.join(settings.baseUrl, "szal", path), init, settings),
  );
  const icon = new LabIcon({ name: "szal-nb:flow", svgstr: ICON });
  let notebook: NotebookPanel | null = null;
  const kernelHere = () => notebook?.sessionContext.session?.kernel ?? null;
  const remote = new Remote(() => {
    const kernel = kernelHere();
    return kernel && { key: kernel, createComm: (target) => kernel.createComm(target) };
  });
  const tail = new LiveTail(client, remote);
  const watch = new Watch(client, tail);

  /** Flow, step and cell of the notebook as it stands. */
  const stepCells = (): Map<string, string> =>
    new Map(
      watch.flows.flatMap(({ graph }) =>
        (graph?.nodes ?? []).flatMap((node) => (node.cell ? [[node.name, node.cell] as const] : [])),
      ),
    );
  const stepHere = (): { flow: string; step: string } | null => {
    const id = notebook?.content.activeCell?.model.id;
    for (const { name, graph } of watch.flows) {
      const node = graph?.nodes.find((found) => found.cell !== undefined && found.cell === id);
      if (node) return { flow: name, step: node.name };
    }
    return null;
  };
  const here = async (): Promise<[NotebookPanel, ReadonlySet<string>]> => {
    if (!notebook) throw new Error("Open the notebook of this flow first.");
    await watch.read();
    return [notebook, new Set(stepCells().values())];
  };
  const ask = async (asked: Command): Promise<void> => {
    const [panel, steps] = await here();
    await command(panel, asked, steps);
  };
  const ready = async (): Promise<readonly string[]> => prepare(...(await here()));
  const openStep = (step: string): void => {
    const cell = stepCells().get(step) ?? watch.feed.picture?.graph.nodes.find((node) => node.name === step)?.cell;
    if (!notebook || cell === undefined) return;
    app.shell.activateById(notebook.id);
    void goToCell(notebook, cell);
  };
  const isKernelBusy = (): boolean => kernelHere()?.status === "busy";
  const host = {
    act: (asked: Asked) => carryOut(asked, { client, remote, prepare: ready, execute: ask, isKernelBusy }),
    openStep,
  };
  const openRun = (run: StoredRun | null): void => {
    const { path } = watch;
    const flow = run?.flow ?? watch.flow;
    if (path === null || flow === null) return;
    const content = new RunTab(client, tail, { path, flow, run: run?.id ?? null, graph: watch.graph }, host);
    const tab = new MainAreaWidget({ content });
    tab.id = `szal-run-${run?.id ?? flow}-${Date.now()}`;
    tab.title.label = flow;
    tab.title.caption = run ? `Run ${run.id} of ${flow}` : `Flow ${flow}`;
    tab.title.icon = icon;
    tab.title.closable = true;
    app.shell.add(tab, "main", { mode: "tab-after", ref: notebook?.id ?? null });
    app.shell.activateById(tab.id);
  };
  const shownRun = (): StoredRun | null => watch.runs.find((run) => run.id === watch.feed.run) ?? null;

  const side = new SideWidget(client, watch, {
    act: (action, step, told) =>
      host.act({ action, step, path: watch.path, flow: watch.flow, run: watch.feed.run, ...told }),
    openStep,
    openRun,
    openShown: () => openRun(shownRun()),
  });
  side.title.icon = icon;
  app.shell.add(side, "left", { rank: 900 });
  restorer?.add(side, side.id);

  const badges = new Badges({
    cells: () => new Map(notebook?.content.widgets.map((cell) => [cell.model.id, cell.node]) ?? []),
    choose: () => app.shell.activateById(side.id),
  });
  watch.onChange(() => {
    badges.update(standsOf(stepCells(), watch.feed.picture));
    app.commands.notifyCommandChanged();
  });
  new MutationObserver(() => badges.update(standsOf(stepCells(), watch.feed.picture))).observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light"],
  });

  let timer: ReturnType<typeof setTimeout> | undefined;
  const changed = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void watch.read(), READ_AFTER_MS);
  };
  const look = (): void => {
    badges.clear();
    notebook?.model?.contentChanged.disconnect(changed);
    notebook?.context.pathChanged.disconnect(look);
    notebook = tracker.currentWidget;
    const panel = notebook;
    if (!panel) {
      watch.look(null);
      return;
    }
    void panel.context.ready.then(() => {
      if (panel !== notebook || panel.isDisposed) return;
      if (!isPython(panel)) {
        watch.look(null);
        return;
      }
      panel.model?.contentChanged.connect(changed);
      // A notebook may be renamed while its run goes on.
      panel.context.pathChanged.connect(look);
      const path = app.serviceManager.contents.localPath(panel.context.path);
      watch.look({ path, cells: () => cellTexts(panel) });
      if (!document.hidden) watch.resume();
    });
  };
  tracker.currentChanged.connect(look);
  tracker.activeCellChanged.connect(() => app.commands.notifyCommandChanged());
  document.addEventListener("visibilitychange", () => (document.hidden ? watch.pause() : watch.resume()));
  look();

  const report = (error: unknown): void => {
    const text = error instanceof Error ? error.message : String(error);
    const actions =
      error instanceof NotReady
        ? [{ label: "Run all cells", callback: () => void app.commands.execute("notebook:run-all-cells") }]
        : [];
    Notification.error(text, { autoClose: 10_000, actions });
  };
  const entries: readonly [string, string, () => boolean, () => Promise<void> | void][] = [
    ["run-flow", "Run Flow", () => watch.graph !== null, () => ask({ name: "run", flow: watch.flow! })],
    ["run-step", "Run Step with What It Needs", () => stepHere() !== null, () => runPart("only")],
    ["run-until", "Run Flow until Here", () => stepHere() !== null, () => runPart("until")],
    ["run-from", "Run Flow from Here", () => stepHere() !== null, () => runPart("from")],
    ["resume-run", "Resume Last Run", () => watch.runs.length > 0, () => ask({ name: "resume" })],
    ["cancel-run", "Cancel Run of Flow", () => shownRun()?.shown_state === "running", () => ask({ name: "cancel" })],
    ["open-dag", "Open DAG in a Tab", () => watch.feed.picture !== null, () => openRun(shownRun())],
    ["show-panel", "Flows and Runs", () => true, () => app.shell.activateById(side.id)],
  ];
  const runPart = (part: "only" | "until" | "from"): Promise<void> => {
    const here = stepHere();
    if (!here) throw new Error("The active cell is no step.");
    return ask({ name: "run", flow: here.flow, [part]: here.step });
  };
  for (const [name, label, isEnabled, execute] of entries) {
    const id = `szal-nb:${name}`;
    app.commands.addCommand(id, {
      label,
      isEnabled,
      execute: async () => {
        try {
          await execute();
        } catch (error) {
          report(error);
        }
      },
    });
    palette?.addItem({ command: id, category: CATEGORY });
  }
  menu?.runMenu.addGroup(
    entries.map(([name]) => ({ command: `szal-nb:${name}` })),
    100,
  );
  ["run-step", "run-until", "run-from"].forEach((name, rank) =>
    app.contextMenu.addItem({
      command: `szal-nb:${name}`,
      selector: ".jp-Notebook .szal-is-step",
      rank: 0.5 + rank / 10,
    }),
  );
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: "szal-nb:plugin",
  description: "Flows of notebooks and their runs: a panel, badges at the cells, commands.",
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, IMainMenu, ILayoutRestorer],
  activate,
};

export default plugin;
