/**
 * The tree of a round: drawn level by level as it grew, then cut to what the target accepted. While an answer comes
 * the newest is shown; afterwards one steps from round to round, or has them replayed. Places of nodes come from
 * `drawing.js`, the code that draws reports.
 */
import { treesOf } from "./answer.js";
import { at, drawn, element } from "./elements.js";

// Made by the server from `tree_drawing.ts`; there is no file of this name.
const { placeNodes } = await import(new URL("drawing.js", import.meta.url).href);

const BOX = 24, ROW = 30, GAP = 18, EDGE = 2;

/** The tree as an SVG element. `grow`: nodes appear level by level. */
function drawTree(row, texts, { grow }) {
  const nodes = placeNodes(row.trace, { text: (id) => texts[id] ?? "", emitted: row.tokens });
  const widths = [];
  for (const { depth, label } of nodes) {
    const wide = Math.ceil(
      7.3 * Array.from(label).reduce((n, c) => n + (c >= "\u2e80" ? 2 : 1), 0),
    ) + 14;
    widths[depth] = Math.max(widths[depth] ?? 24, wide);
  }
  const left = (depth) => EDGE + widths.slice(0, depth).reduce((sum, wide) => sum + wide + GAP, 0);
  const middle = (r) => EDGE + r * ROW + BOX / 2;
  const width = left(widths.length) - GAP + EDGE;
  const height = (Math.max(...nodes.map((n) => n.row)) + 1) * ROW - (ROW - BOX) + 2 * EDGE;
  const level = (depth, fate) => `${fate === "extra" ? "late" : `d${Math.min(depth, 10)}`} ${fate}`;
  const edges = nodes.slice(1).sort((a, b) => b.row - a.row).map(
    ({ parent, fate, depth, row: r }) => {
      const from = left(depth - 1) + widths[depth - 1], bend = from + GAP / 2;
      const y0 = middle(nodes[parent].row), y1 = middle(r), to = left(depth);
      const line = y0 === y1
        ? `M${from} ${y0}H${to}`
        : `M${bend} ${y0}V${y1 - 6}Q${bend} ${y1} ${bend + 6} ${y1}H${to}`;
      return drawn("path", { d: line, class: `edge ${level(depth, fate)}` });
    },
  );
  const boxes = nodes.map(({ fate, depth, row: r, label, title }) => {
    const x = left(depth), y = middle(r), wide = widths[depth];
    return drawn(
      "g",
      { class: `node ${level(depth, fate)}`, "data-fate": fate },
      drawn("title", {}, title),
      drawn("rect", { x, y: y - BOX / 2, width: wide, height: BOX, rx: 5 }),
      drawn("text", { x: x + wide / 2, y: y + 4.5 }, label),
    );
  });
  // Made to fit, as far as it stays readable.
  const scale = Math.min(1, Math.max(0.72, (at("tree").clientWidth - 4) / width));
  const kept = nodes.filter((n) => n.fate === "accepted" || n.fate === "extra").map((n) => n.label);
  const told = `${row.drafted} drafted, ${row.accepted} accepted; emitted: ${kept.join(" | ")}`;
  return drawn(
    "svg",
    {
      role: "img",
      "aria-label": told,
      width: width * scale,
      height: height * scale,
      viewBox: `0 0 ${width} ${height}`,
      class: grow ? "grow" : "",
    },
    ...edges,
    ...boxes,
  );
}

/** The panel of trees. */
export class Rounds {
  #side;
  #trees = [];
  #now = -1;
  #follows = true;
  #timer;

  constructor() {
    at("previous").addEventListener("click", () => this.#step(-1));
    at("next").addEventListener("click", () => this.#step(1));
    at("replay").addEventListener(
      "click",
      () => this.#timer === undefined ? this.#replay() : this.#pause(),
    );
    at("tree").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined || !event.altKey) return;
      event.preventDefault();
      this.#step(step);
    });
    this.show(undefined);
  }

  /** Follows a side, or shows that there is none. */
  show(side) {
    this.#pause();
    this.#side = side;
    this.#follows = true;
    this.update();
  }

  /** Takes what has come since. */
  update() {
    this.#trees = this.#side === undefined ? [] : treesOf(this.#side);
    if (this.#follows) this.#now = this.#trees.length - 1;
    this.#draw({ grow: false });
  }

  /** Goes to a round by its number, from 1; of a side that is not shown, shows it. */
  goTo(side, round) {
    if (side !== this.#side) this.show(side);
    this.#pause();
    const index = this.#trees.findIndex((row) => row.round === round);
    if (index < 0) return;
    this.#follows = false;
    this.#now = index;
    this.#draw({ grow: true });
  }

  #step(by) {
    this.#pause();
    this.#follows = false;
    this.#now = Math.min(Math.max(this.#now + by, 0), this.#trees.length - 1);
    this.#draw({ grow: true });
  }

  #replay() {
    this.#follows = false;
    if (this.#now >= this.#trees.length - 1) this.#now = -1;
    at("replay").textContent = "Pause";
    const next = () => {
      this.#now++;
      this.#draw({ grow: true });
      this.#timer = setTimeout(
        this.#now < this.#trees.length - 1 ? next : () => this.#pause(),
        1400,
      );
    };
    next();
  }

  #pause() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    at("replay").textContent = "Replay";
  }

  #draw({ grow }) {
    const trees = this.#trees, row = trees[this.#now];
    at("previous").disabled = this.#now <= 0;
    at("next").disabled = this.#now >= trees.length - 1;
    at("replay").disabled = trees.length === 0;
    at("where").textContent = row === undefined
      ? "no round"
      : `${row.round} of ${this.#side.sums.rounds}`;
    if (row !== undefined) {
      at("tree").replaceChildren(drawTree(row, this.#side.texts, { grow }));
      return;
    }
    const why = this.#side === undefined || this.#side.pieces.length === 0
      ? "The tree of each round is drawn here."
      : this.#side.rows.length === 0
      ? "The trees of this answer are no longer known: regenerate it to see them."
      : "Nothing was drafted for this answer.";
    at("tree").replaceChildren(element("p", { class: "soft" }, why));
  }
}
