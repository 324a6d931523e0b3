// How each step stands, beside the prompt of its cell: an icon, a time, and words for who cannot see them.
import { html, setAttribute, setText } from "../dag/dom";
import { factLine, formatDuration, oneLine, stateWord } from "../dag/format";
import { STATE_ICONS, icon, setIcon } from "../dag/icons";
import { type Picture, type StepState, stateOf } from "../dag/state";

/** What a badge shows. */
export interface Stand {
  step: string;
  cell: string;
  state: StepState;
  time: string;
  text: string;
}

/** How the steps of the notebook stand, by the cells in which they are now. */
export function standsOf(cells: ReadonlyMap<string, string>, picture: Picture | null): Stand[] {
  const index = new Map(picture?.graph.nodes.map((node, number) => [node.name, number] as const) ?? []);
  return [...cells].map(([step, cell]) => {
    const number = index.get(step);
    if (!picture || number === undefined)
      return { step, cell, state: "pending", time: "", text: `${step}: not run yet` };
    const state = stateOf(picture.run, number);
    const facts = picture.facts[number] ?? {};
    const isTimed = facts.started !== undefined && facts.ended !== undefined && state !== "pending";
    const time = isTimed ? formatDuration(facts.ended! - facts.started!) : "";
    const said = picture.run.state === "idle" ? "not run yet" : factLine(state, facts);
    return { step, cell, state, time, text: oneLine(`${step}: ${said}${time ? ` · ${time}` : ""}`, 300) };
  });
}

/** Where badges are put: the cells that are in the page. */
export interface Page {
  /** The element of each cell, by its id. */
  cells(): ReadonlyMap<string, HTMLElement>;
  choose(step: string): void;
}

interface Badge {
  root: HTMLElement;
  node: HTMLButtonElement;
  icon: SVGSVGElement;
  time: HTMLElement;
  home: HTMLElement;
}

export class Badges {
  private readonly badges = new Map<string, Badge>();

  constructor(private readonly page: Page) {}

  update(stands: readonly Stand[]): void {
    const homes = this.page.cells();
    const theme = document.body.dataset["jpThemeLight"] === "false" ? "dark" : "light";
    const kept = new Set<string>();
    for (const stand of stands) {
      const home = homes.get(stand.cell);
      if (!home) continue;
      kept.add(stand.cell);
      const badge = this.badge(stand, home);
      setAttribute(badge.node, "data-badge", stand.step);
      setAttribute(badge.node, "data-state", stand.state);
      setAttribute(badge.root, "data-theme", theme);
      setAttribute(badge.node, "title", stand.text);
      setAttribute(badge.node, "aria-label", `Step ${stand.text || stateWord(stand.state)}`);
      setIcon(badge.icon, STATE_ICONS[stand.state]);
      setText(badge.time, stand.time);
    }
    for (const [cell, badge] of this.badges) {
      if (kept.has(cell)) continue;
      badge.home.classList.remove("szal-is-step");
      badge.root.remove();
      this.badges.delete(cell);
    }
  }

  clear(): void {
    this.update([]);
  }

  private badge(stand: Stand, home: HTMLElement): Badge {
    const found = this.badges.get(stand.cell);
    if (found && found.home === home && home.contains(found.node)) return found;
    found?.root.remove();
    const mark = icon(STATE_ICONS[stand.state]);
    const time = html("span", { class: "szal-badge-time" });
    const node = html("button", { type: "button", class: "szal-badge", tabindex: -1 }, mark, time);
    const root = html("div", { class: "szal-dag szal-badge-home" }, node);
    node.addEventListener("click", (event) => {
      event.stopPropagation();
      const step = node.getAttribute("data-badge");
      if (step) this.page.choose(step);
    });
    home.classList.add("szal-is-step");
    home.append(root);
    const badge = { root, node, icon: mark, time, home };
    this.badges.set(stand.cell, badge);
    return badge;
  }
}
