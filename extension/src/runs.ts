// The anywidget adapter of the table of runs.
import type { Render } from "@anywidget/types";
import type { Details, LogPiece } from "./dag/state";
import { type Opened, RunBrowser } from "./runs/browser";
import type { Comparison } from "./runs/compare";
import type { RunRow } from "./runs/row";

interface Traits {
  rows: RunRow[];
  actions: string[];
}

type Message =
  | { type: "ack" | "done"; id: number }
  | { type: "refused"; id: number | null; text: string }
  | ({ type: "opened" } & Opened)
  | { type: "compared"; comparison: Comparison; opened: Opened[] }
  | { type: "details"; run: string; details: Details }
  | { type: "log"; run: string; step: string; pieces: LogPiece[] };

const GONE = "No kernel answers for this table: it is as it was. Execute its cell again to read the store anew.";

const render: Render<Traits> = ({ model, el }) => {
  let nextId = 1;
  const browser = new RunBrowser(
    {
      ask: (request) => {
        try {
          model.send({ ...request, id: nextId++ });
        } catch {
          browser.say(GONE);
        }
      },
    },
    model.get("actions"),
  );
  el.append(browser.node);
  browser.attached();
  const show = (): void => browser.update(model.get("rows"));
  const received = (message: Message): void => {
    if (message.type === "refused") browser.say(message.text);
    else if (message.type === "opened") browser.opened(message);
    else if (message.type === "compared") browser.compared(message.comparison, message.opened);
    else if (message.type === "details") browser.details(message.run, message.details);
    else if (message.type === "log") browser.log(message.run, message.step, message.pieces);
  };
  model.on("change:rows", show);
  model.on("msg:custom", received);
  show();
  return () => {
    model.off("change:rows", show);
    model.off("msg:custom", received);
    browser.dispose();
  };
};

export default { render };
