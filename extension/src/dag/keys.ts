// The keys of the picture. What is typed in it must not reach the notebook, whose single keys cut and move cells.
import type { Tool } from "./header";

const TOOLS: Readonly<Record<string, Tool>> = {
  "+": "zoom_in",
  "=": "zoom_in",
  "-": "zoom_out",
  "0": "fit",
  t: "turn",
  g: "group",
  l: "timeline",
  "/": "search",
};

export interface KeyEvents {
  use(tool: Tool): void;
  close(): void;
  /** Goes to what the search found. */
  seek(): void;
  /** The search was emptied. */
  clear(): void;
}

export function listenToKeys(node: HTMLElement, search: HTMLInputElement, events: KeyEvents): void {
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (event.target === search && search.value) {
        search.value = "";
        events.clear();
      } else events.close();
    } else if (event.target === search) {
      // Keys typed here are text.
      if (event.key === "Enter") events.seek();
    } else {
      const tool = TOOLS[event.key];
      if (!tool) {
        if (!event.shiftKey && (event.key === "Enter" || event.key.length === 1)) event.stopPropagation();
        return;
      }
      event.preventDefault();
      events.use(tool);
    }
    event.stopPropagation();
  });
}
