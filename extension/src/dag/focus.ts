// What had the focus in a picture, in words that find it again in another picture of the same.

const MARKS = ["data-action", "data-tool", "data-tab"] as const;
const REGIONS = [".szal-header", ".szal-panel", ".szal-timeline"] as const;

export class Focus {
  private found = "";

  constructor(private readonly root: HTMLElement) {
    root.addEventListener("focusin", ({ target }) => {
      this.found = target instanceof Element ? wordsFor(target) : "";
    });
    root.addEventListener("focusout", () => {
      // Who is taken off the page has not given up the focus.
      queueMicrotask(() => {
        if (root.isConnected && !root.contains(document.activeElement)) this.found = "";
      });
    });
  }

  /** Empty where nothing has it. */
  get words(): string {
    return this.found;
  }

  /** Gives it back, unless somebody took it meanwhile. */
  restore(words: string): void {
    if (!words || (document.activeElement && document.activeElement !== document.body)) return;
    this.root.querySelector<HTMLElement>(words)?.focus({ preventScroll: true });
  }
}

function wordsFor(element: Element): string {
  const step = element.closest("[data-step]")?.getAttribute("data-step");
  const region = REGIONS.find((name) => element.closest(name)) ?? "";
  const mark = MARKS.find((name) => element.hasAttribute(name));
  const own = mark
    ? `[${mark}="${CSS.escape(element.getAttribute(mark)!)}"]`
    : element.classList.length
      ? `.${CSS.escape(element.classList[0]!)}`
      : "";
  if (!own) return "";
  return `${step === undefined || step === null ? region : `[data-step="${CSS.escape(step)}"]`} ${own}`;
}
