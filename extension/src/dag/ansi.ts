// Terminal text as elements: the colours and weights of SGR, carriage returns as a terminal shows them, all else dropped.
import { html } from "./dom";

// The CSI form, the OSC form (links, titles), and other two-character escapes.
const ESCAPE = /\u001b(?:\[([0-9;:?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

interface Style {
  front: string;
  isBold: boolean;
  isDim: boolean;
  isUnderlined: boolean;
}

const PLAIN: Style = { front: "", isBold: false, isDim: false, isUnderlined: false };

/** A traceback without the rule and the padding that IPython draws for lines of 75 characters: a panel is narrower. */
export const narrowTraceback = (text: string): string =>
  text
    .replace(/^(?:\u001b\[[\d;]*m)*-{20,}(?:\u001b\[[\d;]*m)*\n/, "")
    .replace(/ {3,}(?=Traceback \(most recent call last\))/, "  ");

export function ansiText(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  let style = PLAIN;
  let end = 0;
  const shown = overwrite(text);
  const put = (piece: string): void => {
    if (!piece) return;
    const classes = [
      style.front && `szal-ansi-${style.front}`,
      style.isBold && "szal-ansi-bold",
      style.isDim && "szal-ansi-dim",
      style.isUnderlined && "szal-ansi-underlined",
    ].filter(Boolean);
    fragment.append(classes.length ? html("span", { class: classes.join(" ") }, piece) : piece);
  };
  for (const match of shown.matchAll(ESCAPE)) {
    put(shown.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[2] === "m") style = restyle(style, match[1] ?? "");
  }
  put(shown.slice(end));
  return fragment;
}

export const plainText = (text: string): string => overwrite(text).replace(ESCAPE, "");

/** What is left of lines that a carriage return writes again, as progress bars do. */
function overwrite(text: string): string {
  if (!text.includes("\r")) return text;
  return text
    .replace(/\r+\n/g, "\n")
    .split("\n")
    .map((line) => line.slice(line.lastIndexOf("\r", line.length - 2) + 1).replace(/\r$/, ""))
    .join("\n");
}

function restyle(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map(Number);
  let next = style;
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at]!;
    if (code === 0) next = PLAIN;
    else if (code === 1) next = { ...next, isBold: true };
    else if (code === 2) next = { ...next, isDim: true };
    else if (code === 4) next = { ...next, isUnderlined: true };
    else if (code === 22) next = { ...next, isBold: false, isDim: false };
    else if (code === 24) next = { ...next, isUnderlined: false };
    else if (code >= 30 && code <= 37) next = { ...next, front: COLOURS[code - 30]! };
    else if (code >= 90 && code <= 97) next = { ...next, front: COLOURS[code - 90]! };
    else if (code === 39) next = { ...next, front: "" };
    else if (code === 38 || code === 48) {
      // 38;5;n and 38;2;r;g;b: the first sixteen are kept, others are shown plain.
      const number = codes[at + 2];
      if (codes[at + 1] === 5 && code === 38 && number !== undefined)
        next = { ...next, front: number < 16 ? COLOURS[number % 8]! : "" };
      at += codes[at + 1] === 5 ? 2 : 4;
    }
  }
  return next;
}
