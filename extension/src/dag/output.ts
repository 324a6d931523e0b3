// One mimebundle as a notebook shows it. Markup from a step is drawn in a frame that may run nothing and load nothing.
import { ansiText } from "./ansi";
import { html } from "./dom";

const FRAME_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:";
const MOST_MARKUP = 2_000_000;
const FRAME_STYLE =
  "body{margin:0;font:13px system-ui,sans-serif}table{border:0;border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}" +
  "th,td{padding:3px 10px;text-align:right;border:0;border-bottom:1px solid #8884}tr:hover td{background:#8881}th{font-weight:600}pre{white-space:pre-wrap}img{max-width:100%}";

/** `theme` is the page's: a frame knows only what the reader's system prefers. */
export function richOutput(data: Record<string, unknown>, theme = "light"): HTMLElement {
  for (const type of ["image/png", "image/jpeg", "image/gif", "image/webp"]) {
    const text = textOf(data[type]);
    if (text && /^[A-Za-z0-9+/=\s]+$/.test(text))
      return image(`data:${type};base64,${text.replace(/\s/g, "")}`, textOf(data["text/plain"]));
  }
  const drawing = textOf(data["image/svg+xml"]);
  if (drawing)
    return image(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing)}`, textOf(data["text/plain"]));
  const markup = textOf(data["text/html"]);
  if (markup && markup.length <= MOST_MARKUP) return frame(markup, textOf(data["text/plain"]), theme);
  return html(
    "pre",
    { class: "szal-plain", tabindex: 0 },
    ansiText(textOf(data["text/plain"]) || `(${Object.keys(data).slice(0, 3).join(", ")})`),
  );
}

/** nbformat keeps text as a string or as a list of lines. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return Array.isArray(value) ? value.filter((line) => typeof line === "string").join("") : "";
}

const image = (source: string, label: string): HTMLElement =>
  html("img", { class: "szal-image", src: source, alt: label.slice(0, 200) || "Figure that the step showed" });

/** A frame without scripts, forms, links out and network: what it shows can only be looked at. */
function frame(markup: string, label: string, theme: string): HTMLElement {
  const page = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${FRAME_POLICY}"><style>:root{color-scheme:${theme}}${FRAME_STYLE}</style><body>${markup}`;
  const element = html("iframe", {
    class: "szal-frame",
    sandbox: "",
    srcdoc: page,
    title: label.slice(0, 80) || "Output of the step",
    loading: "lazy",
  });
  element.style.height = `${heightOf(markup)}px`;
  return element;
}

const ROW_PX = 23;
const LINE_PX = 25;

/** About what markup needs: nobody may look into its frame. */
function heightOf(markup: string): number {
  const count = (tags: RegExp): number => markup.match(tags)?.length ?? 0;
  const rows = count(/<tr[\s>]/g);
  const lines = count(rows ? /<(?:p|h\d|li)[\s>]/g : /<(?:p|div|h\d|li|br)[\s>]/g);
  return Math.min(600, Math.max(70, rows * ROW_PX + lines * LINE_PX + 16));
}
