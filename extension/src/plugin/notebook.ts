// The notebook of JupyterLab, as the rest of the plugin needs it: its cells as text, the way to a cell.
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { CellText } from "./client";

/** The code cells as the server reads them. Outputs stay here. */
export function cellTexts(panel: NotebookPanel): CellText[] {
  return [...(panel.model?.cells ?? [])].map((cell) => ({
    id: cell.id,
    cell_type: cell.type,
    source: cell.sharedModel.getSource(),
    metadata: { tags: cell.getMetadata("tags") ?? [] },
  }));
}

/** Whether the notebook's language is one that has flows. */
export function isPython(panel: NotebookPanel): boolean {
  const language = panel.model?.getMetadata("kernelspec") as { language?: string } | undefined;
  return !language?.language || language.language === "python";
}

/** Brings a cell into view and makes it the active one. */
export async function goToCell(panel: NotebookPanel, id: string): Promise<boolean> {
  const index = panel.content.widgets.findIndex((cell) => cell.model.id === id);
  if (index < 0) return false;
  panel.content.deselectAll();
  panel.content.activeCellIndex = index;
  await panel.content.scrollToItem(index, "smart");
  return true;
}
