// What a step printed: in its colours, searched as one types, at its end for as long as the reader stays there.
import { ansiText, plainText } from "./ansi";
import { html, setText } from "./dom";
import type { LogPiece, Output, StreamOutput } from "./state";

const NEAR_END_PX = 24;

/** What a step had shown at a moment: the outputs of the attempt that was its newest then. */
export function outputsAt(pieces: readonly LogPiece[], moment: number): Output[] {
  const past = pieces.filter((piece) => piece.at <= moment);
  const attempt = past.at(-1)?.attempt;
  const outputs: Output[] = [];
  for (const { output, attempt: of } of past) {
    if (of !== attempt) continue;
    const last = outputs.at(-1);
    if (output.type === "stream" && last?.type === "stream" && last.name === output.name)
      outputs[outputs.length - 1] = { ...last, text: last.text + output.text };
    else outputs.push(output);
  }
  return outputs;
}

export class Log {
  readonly node: HTMLElement;
  private readonly search = html("input", {
    type: "search",
    class: "szal-search",
    placeholder: "Find in the log",
    "aria-label": "Find in the log",
    spellcheck: "false",
    "data-lm-suppress-shortcuts": "true",
  });
  private readonly said = html("span", { class: "szal-quiet", role: "status" });
  private readonly text = html("div", { class: "szal-log", tabindex: 0, role: "log", "aria-label": "Log" });
  private streams: readonly StreamOutput[] = [];

  constructor() {
    this.node = html(
      "div",
      { class: "szal-log-view" },
      html("div", { class: "szal-log-head" }, this.search, this.said),
      this.text,
    );
    this.search.addEventListener("input", () => this.fill());
    // Keys typed here are text, neither the picture's nor the notebook's shortcuts.
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.search.value) return;
      event.stopPropagation();
      if (event.key !== "Escape") return;
      this.search.value = "";
      this.fill();
    });
  }

  /** Of another step: nothing is sought, and its end is shown. */
  restart(): void {
    this.search.value = "";
    this.streams = [];
    this.text.replaceChildren();
  }

  update(outputs: readonly Output[]): void {
    this.streams = outputs.filter((output): output is StreamOutput => output.type === "stream");
    const { text } = this;
    const isAtEnd = text.scrollHeight - text.scrollTop - text.clientHeight < NEAR_END_PX;
    this.fill();
    if (isAtEnd) text.scrollTop = text.scrollHeight;
  }

  /** To be called once the node is shown: sizes are known only then. */
  shown(): void {
    this.text.scrollTop = this.text.scrollHeight;
  }

  private fill(): void {
    const sought = this.search.value.toLowerCase();
    let found = 0;
    const parts = this.streams.map(({ name, text }) => {
      const lines = sought ? text.split("\n").filter((line) => plainText(line).toLowerCase().includes(sought)) : [];
      found += lines.length;
      const part = html(
        "pre",
        { class: name === "stderr" ? "is-stderr" : "" },
        ansiText(sought ? lines.join("\n") : text),
      );
      if (sought) highlight(part, sought);
      return part;
    });
    this.text.replaceChildren(...parts.filter((part) => part.textContent));
    setText(this.said, sought ? `${found} ${found === 1 ? "line" : "lines"}` : "");
  }
}

/** Marks every place of `sought` that stands in one piece of text. */
function highlight(element: HTMLElement, sought: string): void {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const texts: Text[] = [];
  while (walker.nextNode()) texts.push(walker.currentNode as Text);
  for (const text of texts) {
    let rest = text;
    let at = rest.data.toLowerCase().indexOf(sought);
    while (at >= 0) {
      const hit = rest.splitText(at);
      rest = hit.splitText(sought.length);
      hit.replaceWith(html("mark", {}, hit.data));
      at = rest.data.toLowerCase().indexOf(sought);
    }
  }
}
