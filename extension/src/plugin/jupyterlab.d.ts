// The little of JupyterLab's interface that the plugin uses, the same from 4.4 on. Its own packages would bring 450 MB.

declare module "@lumino/widgets" {
  export interface Title {
    label: string;
    caption: string;
    icon: unknown;
    closable: boolean;
  }
  export class Widget {
    constructor(options?: { node?: HTMLElement });
    id: string;
    readonly node: HTMLElement;
    readonly title: Title;
    readonly isVisible: boolean;
    readonly isDisposed: boolean;
    addClass(name: string): void;
    dispose(): void;
    protected onAfterShow(message: unknown): void;
    protected onAfterHide(message: unknown): void;
    protected onAfterAttach(message: unknown): void;
    protected onBeforeDetach(message: unknown): void;
  }
}

declare module "@lumino/signaling" {
  export interface ISignal<T, U> {
    connect(slot: (sender: T, value: U) => void, context?: unknown): boolean;
    disconnect(slot: (sender: T, value: U) => void, context?: unknown): boolean;
  }
}

declare module "@lumino/coreutils" {
  export class Token<T> {
    readonly name: string;
    private readonly _type: T;
  }
}

declare module "@jupyterlab/coreutils" {
  export const URLExt: { join(...parts: string[]): string };
}

declare module "@jupyterlab/services" {
  import type { ISignal } from "@lumino/signaling";

  export namespace ServerConnection {
    interface ISettings {
      readonly baseUrl: string;
    }
    function makeSettings(): ISettings;
    function makeRequest(url: string, init: RequestInit, settings: ISettings): Promise<Response>;
  }

  export interface Message {
    readonly header: { readonly msg_type: string };
    readonly content: Record<string, unknown>;
  }
  export interface Future {
    onIOPub: (message: Message) => void;
    onStdin: (message: Message) => void | PromiseLike<void>;
    readonly done: Promise<Message>;
    sendInputReply(content: { status: "ok"; value: string }, parentHeader: unknown): void;
  }
  export interface Comm {
    readonly isDisposed: boolean;
    onMsg: (message: { content: { data: unknown } }) => void;
    onClose: (message: unknown) => void;
    open(data?: unknown): unknown;
    send(data: unknown): unknown;
  }
  export interface Kernel {
    readonly status: string;
    createComm(target: string): Comm;
    requestExecute(
      content: Record<string, unknown>,
      disposeOnDone?: boolean,
      metadata?: Record<string, unknown>,
    ): Future;
  }
  export interface Contents {
    localPath(path: string): string;
  }
  export type Changed<T> = ISignal<unknown, T>;
}

declare module "@jupyterlab/notebook" {
  import type { Token } from "@lumino/coreutils";
  import type { ISignal } from "@lumino/signaling";
  import type { Widget } from "@lumino/widgets";
  import type { Kernel } from "@jupyterlab/services";

  export interface CellModel {
    readonly id: string;
    readonly type: string;
    readonly isDirty?: boolean;
    readonly executionCount?: number | null;
    readonly sharedModel: { getSource(): string };
    getMetadata(key: string): unknown;
  }
  export interface Cell extends Widget {
    readonly model: CellModel;
  }
  export interface NotebookModel {
    readonly cells: Iterable<CellModel>;
    readonly deletedCells: string[];
    readonly dirty: boolean;
    readonly readOnly: boolean;
    readonly contentChanged: ISignal<unknown, unknown>;
    getMetadata(key: string): unknown;
  }
  export interface Notebook extends Widget {
    readonly widgets: readonly Cell[];
    readonly activeCell: Cell | null;
    activeCellIndex: number;
    deselectAll(): void;
    scrollToItem(index: number, align?: string): Promise<void>;
  }
  export interface SessionContext {
    readonly session: { readonly kernel: Kernel | null } | null;
    readonly kernelChanged: ISignal<unknown, unknown>;
  }
  export interface NotebookPanel extends Widget {
    readonly content: Notebook;
    readonly model: NotebookModel | null;
    readonly sessionContext: SessionContext;
    readonly context: {
      readonly path: string;
      readonly ready: Promise<void>;
      readonly pathChanged: ISignal<unknown, string>;
      save(): Promise<void>;
    };
  }
  export interface INotebookTracker {
    readonly currentWidget: NotebookPanel | null;
    readonly currentChanged: ISignal<unknown, NotebookPanel | null>;
    readonly activeCellChanged: ISignal<unknown, Cell | null>;
  }
  export const INotebookTracker: Token<INotebookTracker>;
  export const NotebookActions: {
    runCells?(notebook: Notebook, cells: readonly Cell[], session: SessionContext): Promise<boolean>;
  };
}

declare module "@jupyterlab/application" {
  import type { Token } from "@lumino/coreutils";
  import type { Widget } from "@lumino/widgets";
  import type { Contents } from "@jupyterlab/services";

  export interface Command {
    label: string;
    caption?: string;
    isEnabled?: () => boolean;
    execute: (args: Record<string, unknown>) => unknown;
  }
  export interface JupyterFrontEnd {
    readonly commands: {
      addCommand(id: string, options: Command): unknown;
      execute(id: string, args?: Record<string, unknown>): Promise<unknown>;
      hasCommand(id: string): boolean;
      notifyCommandChanged(id?: string): void;
    };
    readonly contextMenu: { addItem(item: { command: string; selector: string; rank?: number }): unknown };
    readonly serviceManager: { readonly contents: Contents };
    readonly shell: {
      add(widget: Widget, area: string, options?: Record<string, unknown>): void;
      activateById(id: string): void;
    };
  }
  export interface JupyterFrontEndPlugin<T> {
    id: string;
    description?: string;
    autoStart: boolean;
    requires: Token<unknown>[];
    optional: Token<unknown>[];
    activate: (app: JupyterFrontEnd, ...services: never[]) => T;
  }
  export interface ILayoutRestorer {
    add(widget: Widget, name: string): void;
  }
  export const ILayoutRestorer: Token<ILayoutRestorer>;
}

declare module "@jupyterlab/apputils" {
  import type { Token } from "@lumino/coreutils";
  import type { Widget } from "@lumino/widgets";

  export interface ICommandPalette {
    addItem(item: { command: string; category: string; args?: Record<string, unknown> }): unknown;
  }
  export const ICommandPalette: Token<ICommandPalette>;
  export class MainAreaWidget<T extends Widget> extends Widget {
    constructor(options: { content: T });
    readonly content: T;
  }
  export const Dialog: {
    cancelButton(options?: { label: string }): unknown;
    okButton(options?: { label: string }): unknown;
  };
  export function showDialog(options: {
    title: string;
    body: string;
    buttons: unknown[];
  }): Promise<{ button: { accept: boolean } }>;
  export const Notification: {
    error(
      text: string,
      options?: { autoClose?: number | false; actions?: { label: string; callback: () => void }[] },
    ): string;
  };
}

declare module "@jupyterlab/mainmenu" {
  import type { Token } from "@lumino/coreutils";

  export interface IMainMenu {
    readonly runMenu: { addGroup(items: { command: string }[], rank?: number): unknown };
  }
  export const IMainMenu: Token<IMainMenu>;
}

declare module "@jupyterlab/ui-components" {
  export class LabIcon {
    constructor(options: { name: string; svgstr: string });
  }
}
