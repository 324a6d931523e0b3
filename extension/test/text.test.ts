import { describe, expect, it } from "vitest";
import { ansiText, narrowTraceback, plainText } from "../src/dag/ansi";
import { html } from "../src/dag/dom";
import { richOutput } from "../src/dag/output";
import { pythonCode } from "../src/dag/python";

const spans = (fragment: Node): [string, string][] =>
  [...html("div", {}, fragment).querySelectorAll("span")].map((span) => [span.className, span.textContent!]);

describe("a traceback of IPython", () => {
  const rule = "-".repeat(75);

  it.each([
    [
      `${rule}\nKeyError${" ".repeat(40)}Traceback (most recent call last)\nCell`,
      "KeyError  Traceback (most recent call last)\nCell",
    ],
    [`\u001b[31m${rule}\u001b[39m\nKeyError`, "KeyError"],
    ["KeyError: ----", "KeyError: ----"],
    ["", ""],
  ])("fits a panel: %j", (text, shown) => expect(narrowTraceback(text)).toBe(shown));
});

describe("terminal text", () => {
  it.each([
    ["\u001b[31mred\u001b[0m plain", [["szal-ansi-red", "red"]]],
    [
      "\u001b[1;32mbold green\u001b[22m green",
      [
        ["szal-ansi-green szal-ansi-bold", "bold green"],
        ["szal-ansi-green", " green"],
      ],
    ],
    ["\u001b[38;5;1mindexed\u001b[39m", [["szal-ansi-red", "indexed"]]],
    ["\u001b[38;2;1;2;3mtrue colour is shown plain", []],
    ["\u001b[91mbright", [["szal-ansi-red", "bright"]]],
  ])("%j is coloured", (text, expected) => expect(spans(ansiText(text))).toEqual(expected));

  it.each([
    ["10%\r50%\r100%\nnext", "100%\nnext"],
    ["windows\r\nline", "windows\nline"],
    ["\u001b]8;;https://example.org\u0007link\u001b]8;;\u0007", "link"],
    ["\u001b[2J\u001b[Hcleared", "cleared"],
    ["<b>kept as text</b>", "<b>kept as text</b>"],
  ])("%j is shown as %j", (text, shown) => {
    expect(html("div", {}, ansiText(text)).textContent).toBe(shown);
    expect(plainText(text)).toBe(shown);
  });
});

describe("code", () => {
  const kinds = (source: string): [string, string][] =>
    spans(pythonCode(source)).map(([name, text]) => [name.replace("szal-py-", ""), text]);

  it("tells keywords, strings, numbers, comments and calls apart", () => {
    expect(kinds("for x in f('a#b', 0x1F):  # why")).toEqual([
      ["keyword", "for"],
      ["keyword", "in"],
      ["call", "f"],
      ["string", "'a#b'"],
      ["number", "0x1F"],
      ["comment", "# why"],
    ]);
  });

  it.each([
    '"""never closed',
    "'also",
    "\\",
    "f'{x!r}'",
    "x" + "(".repeat(5000),
    "Ä = 'ü'  # ß",
    "a.if",
    "%%szal_step a --retries 3\nx = 1",
  ])("shows %j in full", (source) => {
    expect(pythonCode(source).textContent).toBe(source);
  });

  it("shows a megabyte in reasonable time", () => {
    const source = "x = 'a' + f(1)\n".repeat(70_000);
    const start = performance.now();
    expect(pythonCode(source).textContent).toBe(source);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe("rich outputs", () => {
  it("shows pictures by their data, and only if it is base64", () => {
    expect(richOutput({ "image/png": "aGVs\nbG8=", "text/plain": "a figure" }).getAttribute("src")).toBe(
      "data:image/png;base64,aGVsbG8=",
    );
    expect(richOutput({ "image/png": '"><script>', "text/plain": "<fallback>" }).textContent).toBe("<fallback>");
  });

  it("draws an SVG as an image, in which no script runs", () => {
    const image = richOutput({ "image/svg+xml": "<svg onload='alert(1)'/>" });
    expect(image.tagName).toBe("IMG");
    expect(image.getAttribute("src")).toMatch(/^data:image\/svg\+xml/);
  });

  it("joins text that nbformat keeps as lines", () => {
    expect(richOutput({ "text/plain": ["a\n", "b"] }).textContent).toBe("a\nb");
  });

  it("names what it cannot show", () => {
    expect(richOutput({ "application/x-unknown": {} }).textContent).toBe("(application/x-unknown)");
  });
});
