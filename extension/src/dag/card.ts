// One node of the drawing: a button with its state, name, time and what it says of itself, and what it may be asked at once.
import { html, setAttribute, setText, svg } from "./dom";
import { byParts, factLine, oneLine, stateWord, timeSpent, timeTold } from "./format";
import type { Point } from "./geometry";
import { ACTION_ICONS, STATE_ICONS, icon, setIcon } from "./icons";
import { type Action, type Facts, type GraphNode, type Picture, type StepState, isOver, stepAllows } from "./state";

const RING = 2 * Math.PI * 5.5;

// Copied for each node: that is several times faster than making its parts.
const BLANK = html(
  "div",
  { class: "szal-node" },
  html(
    "button",
    { type: "button", class: "szal-card", tabindex: -1 },
    icon(STATE_ICONS.pending),
    html("span", { class: "szal-name" }),
    html("span", { class: "szal-time" }),
    html("span", { class: "szal-fact" }),
  ),
);

// Names of one family differ at their ends: what is cut of a long one is its middle.
const SHORT = 14;
const TAIL = /[!-~]{5}$/;

function shortenable(name: string): (string | Node)[] {
  const at = name.length > SHORT ? name.search(TAIL) : -1;
  if (at < 0) return [name];
  return [html("span", {}, name.slice(0, at)), html("span", {}, name.slice(at))];
}

export class Card {
  readonly root = BLANK.cloneNode(true) as HTMLElement;
  readonly button = this.root.firstElementChild as HTMLButtonElement;
  quick: HTMLButtonElement | null = null;
  state: StepState | null = null;
  facts: Facts | null = null;
  /** Whether its time goes on. */
  isGoing = false;
  private readonly mark = this.button.children[0] as SVGSVGElement;
  private readonly time = this.button.children[2] as HTMLElement;
  private readonly fact = this.button.children[3] as HTMLElement;
  private ring: SVGCircleElement | null = null;
  private share = -1;

  constructor(
    private readonly node: GraphNode,
    number: number,
    private readonly actions: ReadonlySet<Action>,
  ) {
    this.button.children[1]!.append(...shortenable(oneLine(node.name, 80)));
    this.root.setAttribute(node.members ? "data-group" : "data-step", node.name);
    this.root.setAttribute("data-node", String(number));
    if (node.members) this.root.classList.add("is-group");
    else if (node.map) this.root.classList.add("is-map");
  }

  place(point: Point): void {
    // No transform, clip or opacity of its own: each would be one more layer to sort in every frame, for thousands of cards.
    this.root.style.left = `${point.x}px`;
    this.root.style.top = `${point.y}px`;
  }

  /** From afar only the state is drawn: what is written on it waits until somebody comes near. */
  show(state: StepState, facts: Facts, picture: Picture, now: number, isFar: boolean): void {
    if (this.state !== state) {
      setIcon(this.mark, STATE_ICONS[state]);
      setAttribute(this.root, "data-state", state);
    }
    this.state = state;
    this.facts = facts;
    this.isGoing = !isOver(picture.run.state) && (state === "running" || state === "retrying");
    if (!isFar) this.write(picture, now);
    this.root.classList.toggle("is-reused", facts.origin !== undefined && facts.origin !== "ran");
    this.showProgress(state, facts);
    this.offer(
      this.node.members
        ? null
        : state === "waiting"
          ? "approve"
          : state === "failed" && stepAllows("retry", picture.run, state)
            ? "retry"
            : null,
    );
  }

  write(picture: Picture, now: number): void {
    const [state, facts] = [this.state!, this.facts!];
    const fact = this.factOf(state, facts, picture);
    // What went wrong is cut at its end, it is never left out.
    setText(this.fact, facts.rollback_error ? fact.replaceAll(" ", "\u00a0") : byParts(fact));
    setText(this.time, timeTold(picture.run, state, facts, now));
  }

  tick(now: number): void {
    setText(this.time, timeSpent(this.state!, this.facts!, now));
  }

  /** What a pointer that rests on it is told: too costly to say of thousands that nobody asks about. */
  describe(): void {
    const said = [this.node.name, this.facts?.error, this.facts?.reason, this.node.approve].filter(Boolean).join(" · ");
    setAttribute(this.button, "title", oneLine(said, 300));
  }

  /** From afar a card shows no text, but those who listen still hear it. */
  nameAloud(isFar: boolean): void {
    if (isFar)
      setAttribute(this.button, "aria-label", `${oneLine(this.node.name, 80)}, ${stateWord(this.state ?? "pending")}`);
    else this.button.removeAttribute("aria-label");
  }

  /** What has a number of parts shows them as a ring around its icon's place; other progress as a line below. */
  private showProgress(state: StepState, { done, total }: Facts): void {
    const isShown =
      done !== undefined && total !== undefined && total > 0 && state !== "pending" && state !== "skipped";
    const share = isShown ? Math.min(1, Math.max(0, done / total)) : 0;
    const isRing = isShown && (this.node.members !== undefined || this.node.map !== undefined);
    this.root.classList.toggle("has-ring", isRing && share < 1);
    this.root.classList.toggle("has-bar", isShown && !isRing && state === "running");
    if (isShown && share !== this.share) {
      this.share = share;
      this.root.style.setProperty("--share", String(share));
    }
    if (isRing && !this.ring) {
      this.ring = svg("circle", { class: "szal-ring", cx: 8, cy: 8, r: 5.5 });
      this.mark.append(svg("circle", { class: "szal-ring-track", cx: 8, cy: 8, r: 5.5 }), this.ring);
    }
    if (this.ring) setAttribute(this.ring, "stroke-dasharray", `${(share * RING).toFixed(2)} ${RING.toFixed(2)}`);
  }

  private offer(quick: Action | null): void {
    if ((this.quick?.dataset["action"] ?? null) === quick) return;
    this.quick?.remove();
    this.quick = null;
    if (!quick || !this.actions.has(quick)) return;
    const label = quick === "approve" ? "Approve" : "Retry";
    this.quick = html(
      "button",
      {
        type: "button",
        class: "szal-quick",
        "data-action": quick,
        "data-for": this.node.name,
        title: label,
        "aria-label": `${label} ${oneLine(this.node.name, 80)}`,
        tabindex: -1,
      },
      icon(ACTION_ICONS[quick]),
    );
    this.root.append(this.quick);
  }

  private factOf(state: StepState, facts: Facts, picture: Picture): string {
    if (picture.run.state === "idle") return this.idleFact();
    const { members } = this.node;
    return members && state !== "running" ? `${stateWord(state)} · ${members.length} steps` : factLine(state, facts);
  }

  private idleFact(): string {
    const { gives, approve, members } = this.node;
    if (members) return `${members.length} steps`;
    if (approve) return "asks before it runs";
    return gives.length ? `gives ${oneLine(gives.join(", "), 60)}` : "gives no names";
  }
}
