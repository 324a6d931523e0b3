// The pieces of text that the panel is made of.
import { html } from "./dom";
import { oneLine } from "./format";

export const heading = (text: string): HTMLElement => html("h3", {}, text);
export const note = (text: string): HTMLElement => html("p", { class: "szal-note" }, oneLine(text, 400));

export function table(rows: string[][]): HTMLElement {
  return html(
    "table",
    { class: "szal-table" },
    html(
      "tbody",
      {},
      ...rows.map((row) =>
        html(
          "tr",
          {},
          ...row.map((cell, at) => html(at ? "td" : "th", at ? {} : { scope: "row" }, oneLine(cell, 300))),
        ),
      ),
    ),
  );
}
