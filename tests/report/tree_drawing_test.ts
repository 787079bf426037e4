/** Drawings of trees: what became of each node, where it stands, and that text of tokens stays text. */
import assert from "node:assert/strict";
import type { RoundTrace } from "../../lib/report/events.ts";
import {
  DRAWING_SOURCE,
  drawTree,
  fates,
  placeNodes,
  visibleText,
} from "../../lib/report/tree_drawing.ts";

/**
 * 0 ─ 1 (accepted) ─ 3 (accepted)
 *   │              └ 4 (rejected)
 *   └ 2 (rejected) ─ 5 (the target's choice after 2) ─ 7 (not its choice)
 *                  └ 6 (not its choice)
 */
const TRACE: RoundTrace = {
  tokens: [10, 11, 12, 13, 14, 15, 16, 17],
  parents: [-1, 0, 0, 1, 1, 2, 2, 5],
  scores: [0, -1, -0.5, -1.25, -2, -0.75, -3, -4],
  choices: [11, 13, 15, 18, 0, 99, 0, 0],
  probabilities: [1, 0.75, 0.125, 0.5, 0.25, 0.875, 0.0625, 0.03],
  path: [1, 3],
};
const text = (token: number) => `t${token}`;
const draw = (emitted: number[], of = text) => drawTree(TRACE, { text: of, emitted });

Deno.test("fates: accepted, rejected, and what would have been accepted below a rejection", () => {
  assert.deepEqual(fates(TRACE, { emitted: 3 }), [
    "root",
    "accepted",
    "rejected",
    "accepted",
    "rejected",
    "matching",
    "rejected",
    "rejected",
  ]);
  assert.equal(fates(TRACE, { emitted: 1 })[3], "cut");
  // Below an accepted node the target had its say: a sampled round may pass over its likeliest token.
  const sampled = { ...TRACE, choices: [12, 14, 15, 18, 0, 99, 0, 0] };
  assert.deepEqual([2, 4].map((i) => fates(sampled, { emitted: 3 })[i]), ["rejected", "rejected"]);
});

Deno.test("the top row reads what was emitted; no two nodes share a place", () => {
  const nodes = placeNodes(TRACE, { text, emitted: [11, 13, 18] });
  assert.deepEqual(
    nodes.filter((n) => n.row === 0).sort((a, b) => a.depth - b.depth).map((n) => n.label),
    ["t10", "t11", "t13", "t18"],
  );
  assert.equal(new Set(nodes.map((n) => `${n.row} ${n.depth}`)).size, 9);
  for (const { parent, row, depth } of nodes.slice(1)) {
    assert.equal(depth, nodes[parent].depth + 1);
    assert.ok(row >= nodes[parent].row);
  }
  // Rejected siblings by score: 5 (-0.75) before 6 (-3).
  assert.ok(nodes[5].row < nodes[6].row);
  assert.equal(nodes.at(-1)!.fate, "extra");
});

Deno.test("nodes carry the draft's probability after the parent, and the target's", () => {
  const nodes = placeNodes(TRACE, { text, emitted: [11, 13, 18] });
  assert.equal(nodes[3].note, `d ${Math.exp(-0.25).toFixed(2)} · t 0.50`);
  assert.equal(nodes[5].note, `✓ d ${Math.exp(-0.25).toFixed(2)} · t 0.88`);
  assert.match(nodes[3].title, /^t13 \(token 13\)\naccepted\ndraft 0\.7788, target 0\.5000/);
  assert.match(nodes[3].title, /the target's choice after it: t18$/);
  const impossible = { ...TRACE, scores: [0, -1, -Infinity, -1, -1, -Infinity, -1, -1] };
  assert.match(placeNodes(impossible, { text, emitted: [11] })[5].note, /^✓ d 0\.00/);
});

Deno.test("a round cut at the end of the text has no extra token; its last nodes are marked", () => {
  const whole = draw([11, 13, 18]), cut = draw([11]);
  const count = (svg: string, fate: string) => svg.split(`data-fate="${fate}"`).length - 1;
  assert.deepEqual(["accepted", "cut", "extra"].map((fate) => count(whole, fate)), [2, 0, 1]);
  assert.deepEqual(["accepted", "cut", "extra"].map((fate) => count(cut, fate)), [1, 1, 0]);
  assert.match(
    whole,
    /aria-label="Tree of 7 drafted tokens, 2 accepted; emitted: t11 \| t13 \| t18"/,
  );
});

Deno.test("a tree of a root alone is drawn", () => {
  const root: RoundTrace = {
    tokens: [1],
    parents: [-1],
    scores: [0],
    choices: [2],
    probabilities: [1],
    path: [],
  };
  assert.match(drawTree(root, { text, emitted: [2] }), /data-fate="extra"/);
  assert.match(drawTree(root, { text, emitted: [] }), /width="\d+" height="\d+"/);
});

Deno.test("accepted paths differ from others by thickness, not by colour alone", () => {
  const edges = [...draw([11, 13, 18]).matchAll(/<path [^>]*stroke-width="([\d.]+)"/g)];
  const widths = edges.map(([, width]) => Number(width));
  assert.equal(widths.length, 8);
  assert.equal(widths.filter((w) => w === 5).length, 2);
  assert.equal(widths.filter((w) => w < 2).length, 5);
});

Deno.test("signs for what cannot be seen, and for what turns text around", () => {
  assert.equal(visibleText(" a\n\tb\0\x7f"), "␣a↵⇥b␀␡");
  assert.equal(visibleText("\u202Eevil\u2066\u200b\ufeff"), "<U+202E>evil<U+2066><U+200B><U+FEFF>");
  assert.equal(visibleText("\u00a0\u2028\u0085"), "<U+00A0><U+2028><U+0085>");
  assert.equal(visibleText("שלום 日本 é"), "שלום␣日本␣é");
  assert.equal(visibleText("\ud800x"), "\ufffdx");
});

Deno.test("hostile text stays text, long text is cut, no text is a number", () => {
  const hostile = `</text></svg><img src="x" onerror='alert(1)'>`;
  const svg = draw(
    [11, 13, 18],
    (t) => t === 11 ? hostile : t === 12 ? "" : "\u{1F600}".repeat(20),
  );
  assert.doesNotMatch(svg, /<img|<\/svg>./);
  assert.ok(svg.includes("&lt;/text&gt;"));
  assert.match(svg, />#12</);
  assert.match(svg, />(\u{1F600}){7}…</u);
  // Well-formed: every element is closed, no attribute stands twice.
  const open: string[] = [];
  for (const [, close, name, rest] of svg.matchAll(/<(\/?)([a-z]+)([^>]*)>/g)) {
    if (close) assert.equal(open.pop(), name);
    else if (!rest.endsWith("/")) open.push(name);
    const names = [...rest.matchAll(/([\w:-]+)="[^"]*"/g)].map(([, n]) => n);
    assert.equal(new Set(names).size, names.length, rest);
  }
  assert.deepEqual(open, []);
});

Deno.test("the source text draws the same", () => {
  const drawn = new Function(`${DRAWING_SOURCE}; return drawTree;`)() as typeof drawTree;
  assert.equal(drawn(TRACE, { text, emitted: [11, 13, 18] }), draw([11, 13, 18]));
});
