/**
 * The tree of one round as a drawing: a pure function from a trace and the texts of tokens to SVG, for notebooks
 * and, as source text, for the page of a trace. The top row reads as what was emitted: root, accepted tokens,
 * extra token. Markup by attributes only, text in the colour of its surroundings, for light and dark alike.
 * What the page does with it: `trace_viewer.ts`.
 */
import type { RoundTrace } from "./events.ts";
import { escapeHtml } from "./page.ts";

/**
 * What became of a node. `cut`: accepted, but behind the end of the text. `matching`: the target's choice after
 * its parent, but the parent was rejected: it would have been accepted had its parent been.
 */
export type Fate = "root" | "accepted" | "cut" | "matching" | "rejected";

/** The fate of each node; `emitted` is how many tokens the round emitted. */
export function fates(
  { tokens, parents, choices, path }: RoundTrace,
  { emitted }: { emitted: number },
): Fate[] {
  return tokens.map((token, node) => {
    const parent = parents[node], place = path.indexOf(node);
    if (node === 0) return "root";
    if (place >= 0) return place < emitted ? "accepted" : "cut";
    const isBelow = parent !== 0 && !path.includes(parent);
    return isBelow && token === choices[parent] ? "matching" : "rejected";
  });
}

/** Text with every blank, control and direction mark shown as a sign of its own. */
export function visibleText(text: string): string {
  const signs: Record<string, string> = { " ": "␣", "\n": "↵", "\t": "⇥", "\x7f": "␡" };
  // deno-lint-ignore no-control-regex
  return text.toWellFormed().replace(/[\s\x00-\x20\x7f-\x9f]|\p{Cf}/gu, (c) => {
    const code = c.codePointAt(0)!;
    if (signs[c] !== undefined) return signs[c];
    return code < 32
      ? String.fromCharCode(0x2400 + code)
      : `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
}

/** Width of a text in columns of a monospaced font, as far as that can be known without one. */
function columns(text: string): number {
  return Array.from(text).reduce((n, c) => n + (c.codePointAt(0)! >= 0x2e80 ? 2 : 1), 0);
}

/** The beginning of a text, of so many columns at most. */
function clip(text: string, most: number): string {
  if (columns(text) <= most) return text;
  let kept = "";
  for (const c of text) {
    if (columns(kept + c) > most - 1) break;
    kept += c;
  }
  return `${kept}…`;
}

/** A node to draw: its column and row, its two lines, what is told when it is pointed at. */
export interface DrawnNode {
  parent: number;
  fate: Fate | "extra";
  depth: number;
  row: number;
  label: string;
  note: string;
  title: string;
}

/**
 * Nodes with their places: accepted children first, then by score, each subtree below the one before; a first
 * child stands in its parent's row. An emitted extra token is one node more, at the end.
 */
export function placeNodes(
  trace: RoundTrace,
  { text, emitted }: { text: (token: number) => string; emitted: readonly number[] },
): DrawnNode[] {
  const { tokens, parents, scores, choices, probabilities, path } = trace;
  const fate = fates(trace, { emitted: emitted.length });
  const name = (token: number) => visibleText(text(token)) || `#${token}`;
  const told: Record<Fate, string> = {
    root: "root: the last token so far",
    accepted: "accepted",
    cut: "accepted, but behind the end of the text",
    matching: "rejected with its parent; would have been accepted had its parent been",
    rejected: "rejected",
  };
  const nodes: DrawnNode[] = tokens.map((token, node) => {
    const parent = parents[node];
    const draft = parent < 0 ? 1 : Math.exp(scores[node] - scores[parent]) || 0;
    const odds = parent < 0
      ? ""
      : `\ndraft ${draft.toFixed(4)}, target ${probabilities[node].toFixed(4)} after its parent`;
    return {
      parent,
      fate: fate[node],
      depth: 0,
      row: 0,
      label: clip(name(token), 16),
      note: parent < 0
        ? "root"
        : `${fate[node] === "matching" ? "✓ " : ""}d ${draft.toFixed(2)} · t ${
          probabilities[node].toFixed(2)
        }`,
      title: `${name(token)} (token ${token})\n${told[fate[node]]}${odds}\n` +
        `the target's choice after it: ${name(choices[node])}`,
    };
  });
  const last = path.at(-1) ?? 0;
  if (emitted.length > path.length) {
    const token = emitted[path.length];
    nodes.push({
      parent: last,
      fate: "extra",
      depth: 0,
      row: 0,
      label: clip(name(token), 16),
      note: "extra",
      title: `${name(token)} (token ${token})\nextra token: the target's own, not drafted`,
    });
  }
  const first = (i: number) => Number(nodes[i].fate === "extra" || path.includes(i));
  const place = (node: number, row: number, depth: number): number => {
    nodes[node].row = row;
    nodes[node].depth = depth;
    const children = nodes.map((_, i) => i).filter((i) => nodes[i].parent === node)
      .sort((a, b) => first(b) - first(a) || scores[b] - scores[a] || a - b);
    let free = row;
    for (const child of children) free = place(child, free, depth + 1);
    return Math.max(free, row + 1);
  };
  place(0, 0, 0);
  return nodes;
}

/**
 * The tree of a round. `text` gives the text of a token, `emitted` the tokens of the round: accepted ones and the
 * extra token, as far as they were emitted.
 */
export function drawTree(
  trace: RoundTrace,
  { ink = "currentColor", ...options }: {
    text: (token: number) => string;
    emitted: readonly number[];
    /** Colour of texts and frames; a picture that stands alone needs one of its own. */
    ink?: string;
  },
): string {
  const nodes = placeNodes(trace, options), soft = ink === "currentColor" ? ".68" : "1";
  const BOX = 38, ROW = 50, GAP = 34, EDGE = 3;
  const BLUE = "#0072B2", ORANGE = "#E69F00", GREEN = "#009E73";
  const widths: number[] = [];
  for (const { depth, label, note } of nodes) {
    const wide = Math.ceil(Math.max(7.9 * columns(label), 6.1 * note.length)) + 20;
    widths[depth] = Math.max(widths[depth] ?? 0, wide);
  }
  const left = (depth: number) =>
    EDGE + widths.slice(0, depth).reduce((sum, wide) => sum + wide + GAP, 0);
  const middle = (row: number) => EDGE + row * ROW + BOX / 2;
  const width = left(widths.length) - GAP + EDGE;
  const height = (Math.max(...nodes.map((n) => n.row)) + 1) * ROW - (ROW - BOX) + 2 * EDGE;
  const looks: Record<DrawnNode["fate"], { edge: string; box: string; text: string }> = {
    root: {
      edge: "",
      box: `fill="${ink}" fill-opacity=".1" stroke="${ink}" stroke-width="1.5"`,
      text: `fill="${ink}"`,
    },
    accepted: {
      edge: `stroke="${BLUE}" stroke-width="5"`,
      box: `fill="${BLUE}" stroke="${BLUE}" stroke-width="3"`,
      text: 'fill="#fff"',
    },
    cut: {
      edge: `stroke="${BLUE}" stroke-width="5" stroke-dasharray="2 4"`,
      box: `fill="none" stroke="${BLUE}" stroke-width="3"`,
      text: `fill="${ink}" text-decoration="line-through"`,
    },
    extra: {
      edge: `stroke="${ORANGE}" stroke-width="3"`,
      box: `fill="${ORANGE}" fill-opacity=".16" stroke="${ORANGE}" stroke-width="2.5"`,
      text: `fill="${ink}"`,
    },
    matching: {
      edge: 'stroke="#888" stroke-width="1.5"',
      box: `fill="none" stroke="${GREEN}" stroke-width="2.5" stroke-dasharray="6 3"`,
      text: `fill="${ink}"`,
    },
    rejected: {
      edge: 'stroke="#888" stroke-width="1.5"',
      box: `fill="none" stroke="${ink}" stroke-opacity=".3" stroke-width="1"`,
      text: `fill="${ink}" fill-opacity="${soft}"`,
    },
  };
  // Thick edges last, over the thin ones that leave the same node.
  const order = nodes.slice(1).sort((a, b) => b.row - a.row);
  const edges = order.map(({ parent, fate, depth, row }) => {
    const from = left(depth - 1) + widths[depth - 1], to = left(depth);
    const y0 = middle(nodes[parent].row), y1 = middle(row), bend = from + GAP / 2;
    // Siblings share the way down; the corner is round.
    const line = y0 === y1
      ? `M${from} ${y0}H${to}`
      : `M${bend} ${y0}V${y1 - 8}Q${bend} ${y1} ${bend + 8} ${y1}H${to}`;
    return `<path d="${line}" ${looks[fate].edge}/>`;
  });
  const boxes = nodes.map(({ fate, depth, row, label, note, title }) => {
    const x = left(depth), y = middle(row), wide = widths[depth], look = looks[fate];
    const weight = fate === "accepted" || fate === "extra" ? 700 : 400;
    return `<g data-fate="${fate}"><title>${escapeHtml(title)}</title>` +
      `<rect x="${x}" y="${y - BOX / 2}" width="${wide}" height="${BOX}" rx="7" ${look.box}/>` +
      `<text x="${x + wide / 2}" y="${
        y - 2
      }" ${look.text} font-size="13" font-weight="${weight}" direction="ltr" ` +
      `unicode-bidi="isolate">${escapeHtml(label)}</text>` +
      `<text x="${x + wide / 2}" y="${y + 12}" ${look.text} font-size="10">${note}` +
      `</text></g>`;
  });
  const read = nodes.filter((n) => n.fate === "accepted" || n.fate === "extra").map((n) => n.label);
  const summary =
    `Tree of ${trace.tokens.length - 1} drafted tokens, ${trace.path.length} accepted` +
    (read.length > 0 ? `; emitted: ${read.join(" | ")}` : "");
  return `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escapeHtml(summary)}" ` +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" text-anchor="middle" ` +
    `font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace">` +
    `<g fill="none">${edges.join("")}</g>${boxes.join("")}</svg>`;
}

/** The functions above as a script's text: what draws in a notebook draws on the page. */
export const DRAWING_SOURCE: string = [
  escapeHtml,
  fates,
  visibleText,
  columns,
  clip,
  placeNodes,
  drawTree,
].map(String).join("\n");
