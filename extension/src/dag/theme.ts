// Light or dark: what the page itself is decides, so that it fits JupyterLab, VS Code, Colab and a plain page alike.
import { setAttribute } from "./dom";

/** Keeps `data-theme` on `node` in step with the page, tells when it becomes another; gives back what ends it. */
export function followTheme(node: HTMLElement, changed: () => void = () => undefined): () => void {
  const query = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;
  const set = (): void => {
    const before = node.getAttribute("data-theme");
    setAttribute(node, "data-theme", isDark(node, query?.matches ?? false) ? "dark" : "light");
    if (before !== node.getAttribute("data-theme")) changed();
  };
  const watcher = new MutationObserver(set);
  for (const element of [document.documentElement, document.body]) {
    watcher.observe(element, {
      attributes: true,
      attributeFilter: [
        "class",
        "style",
        "theme",
        "data-theme",
        "data-jp-theme-light",
        "data-jp-theme-name",
        "data-vscode-theme-kind",
      ],
    });
  }
  query?.addEventListener("change", set);
  set();
  return () => {
    watcher.disconnect();
    query?.removeEventListener("change", set);
  };
}

function isDark(node: HTMLElement, prefersDark: boolean): boolean {
  const jupyter = document.body.dataset["jpThemeLight"];
  if (jupyter) return jupyter === "false";
  let element: Element | null = node.parentElement;
  while (element) {
    const parts = /rgba?\(([^)]+)\)/
      .exec(getComputedStyle(element).backgroundColor)?.[1]
      ?.split(/[ ,/]+/)
      .map(Number);
    if (parts && parts.length >= 3 && (parts[3] ?? 1) > 0.5) {
      return 0.2126 * parts[0]! + 0.7152 * parts[1]! + 0.0722 * parts[2]! < 128;
    }
    const root: Node = element.getRootNode();
    element = element.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
  }
  return prefersDark;
}
