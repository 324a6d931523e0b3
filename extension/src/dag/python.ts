// Python source in colour: enough for reading, never executed, always as text nodes.
import { html } from "./dom";

const KEYWORDS = new Set(
  (
    "False None True and as assert async await break case class continue def del elif else except finally for from " +
    "global if import in is lambda match nonlocal not or pass raise return try while with yield"
  ).split(" "),
);
const TOKEN =
  /(?<comment>#[^\n]*)|(?<string>(?:\b[rRbBfFuU]{1,2})?(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))|(?<number>\b(?:0[xXoObB][\da-fA-F_]+|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?j?)\b)|(?<name>[\p{L}_][\p{L}\p{N}_]*)/gu;
const MOST = 60_000;

export function pythonCode(source: string, marked: number | null = null): HTMLElement {
  const code = html("code", {});
  const head = /^(?:%%?[^\n]*|#\|[^\n]*)/.exec(source)?.[0] ?? "";
  if (head) code.append(html("span", { class: "szal-py-magic" }, head));
  const body = source.slice(head.length, MOST);
  let end = 0;
  for (const match of body.matchAll(TOKEN)) {
    const kind = kindOf(match, body);
    if (!kind) continue;
    if (match.index > end) code.append(body.slice(end, match.index));
    code.append(html("span", { class: `szal-py-${kind}` }, match[0]));
    end = match.index + match[0].length;
  }
  code.append(body.slice(end), source.slice(Math.max(head.length, MOST)));
  const block = html("pre", { class: "szal-code", tabindex: 0 }, code);
  if (marked !== null && marked > 0) {
    const mark = html("span", { class: "szal-code-mark", "aria-hidden": "true" });
    mark.style.setProperty("--line", String(marked - 1));
    block.prepend(mark);
  }
  return block;
}

function kindOf(match: RegExpMatchArray, body: string): string | null {
  const groups = match.groups ?? {};
  if (groups["comment"]) return "comment";
  if (groups["string"]) return "string";
  if (groups["number"]) return "number";
  if (KEYWORDS.has(match[0])) return body[(match.index ?? 0) - 1] === "." ? null : "keyword";
  return body[(match.index ?? 0) + match[0].length] === "(" ? "call" : null;
}
