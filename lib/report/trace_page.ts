/**
 * A trace as one self-contained HTML page: rounds step by step, each with its tree, the text so far and its
 * numbers, then the totals as tables, which stand without scripts too. It asks the network for nothing; scripts
 * and styles run by their hashes only. What runs in the browser: `trace_viewer.ts`, `tree_drawing.ts`.
 */
import { createHash } from "node:crypto";
import { escapeHtml, renderTable, STYLE } from "./page.ts";
import type { Trace, TracedGeneration } from "./trace.ts";
import { generationRows, ratioRows, traceTotals } from "./trace_totals.ts";
import { VIEWER_SOURCE, type ViewerData, type ViewerRound } from "./trace_viewer.ts";
import { DRAWING_SOURCE } from "./tree_drawing.ts";

/** How ids become text. */
export interface TokenTexts {
  /** One token, special ones included. */
  token(id: number): string;
  /** The text each token adds to those before; joined they are the whole text. */
  pieces(ids: readonly number[]): string[];
}

const digits = (x: number, n: number) => Number(x.toPrecision(n));

function viewerRound(row: TracedGeneration["rounds"][number]): ViewerRound {
  const { tokens, drafted, depth, accepted, draftMs, verifyMs, sampleMs, hostMs, trace } = row;
  return {
    tokens,
    drafted,
    depth,
    accepted,
    draftMs: digits(draftMs, 4),
    verifyMs: digits(verifyMs, 4),
    // Choosing tokens is the host's work too.
    hostMs: digits(sampleMs + hostMs, 4),
    trace: trace && {
      ...trace,
      scores: trace.scores.map((s) => digits(s, 5)),
      probabilities: trace.probabilities.map((p) => digits(p, 4)),
    },
  };
}

/** What the page's script reads. */
export function viewerData(
  generations: readonly TracedGeneration[],
  { token, pieces }: TokenTexts,
): ViewerData {
  const ids = new Set<number>();
  for (const { rounds } of generations) {
    for (const { tokens, trace } of rounds) {
      for (const id of [...tokens, ...trace?.tokens ?? [], ...trace?.choices ?? []]) ids.add(id);
    }
  }
  return {
    texts: Object.fromEntries([...ids].map((id) => [id, token(id)])),
    generations: generations.map(({ start, rounds, end }) => ({
      id: start.id,
      category: start.category,
      prompt: pieces(start.prompt).join(""),
      pieces: pieces([...start.tokens, ...rounds.flatMap((r) => r.tokens)]),
      end: end?.reason ?? "the run was stopped",
      rounds: rounds.map(viewerRound),
    })),
  };
}

const VIEWER_STYLE = `
:root { --kept: #0072B2; --more: #E69F00; --match: #009E73; --mark: rgba(0,114,178,.16); }
@media (prefers-color-scheme: dark) { :root { --mark: rgba(86,180,233,.28); } }
body { max-width: 76rem; } .lead { max-width: none; }
button, select { font: inherit; color: inherit; background: transparent; border: 1px solid var(--line);
  border-radius: 6px; padding: .3rem .7rem; min-height: 2.4rem; }
button { min-width: 2.6rem; cursor: pointer; } button:disabled { opacity: .35; cursor: default; }
option { background: var(--back); color: var(--text); }
:focus-visible { outline: 3px solid var(--kept); outline-offset: 2px; }
.bar { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; align-items: center; margin: 1.5rem 0 .75rem; }
.bar label { display: flex; gap: .6rem; align-items: center; min-width: 0; } .bar select { min-width: 0; max-width: 22rem; }
.steps { display: flex; gap: .35rem; align-items: center; }
.steps output { min-width: 9rem; text-align: center; font-variant-numeric: tabular-nums; }
kbd { font: 600 .8em ui-monospace, monospace; border: 1px solid var(--line); border-radius: 4px; padding: .05em .4em; }
#strip svg { display: block; width: 100%; height: 3.5rem; cursor: pointer; border-bottom: 1px solid var(--line); }
.kept, .part1 { fill: var(--kept); } .more { fill: var(--more); } .clear { fill: transparent; }
.here { fill: currentColor; fill-opacity: .14; } .part0 { fill: var(--more); } .part2 { fill: #7a7a7a; }
#slider { display: block; margin: .25rem auto 0; accent-color: var(--kept); min-height: 1.6rem; }
#numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.5rem, 1fr)); gap: .75rem 1.5rem; margin: .75rem 0 1rem; }
#numbers div:last-child { grid-column: span 2; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
dd small { color: var(--soft); font-size: .8rem; } dd svg { display: block; width: 100%; max-width: 16rem; height: 6px; margin-top: .3rem; }
#tree { overflow-x: auto; padding: .75rem .25rem; border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
#tree svg { display: block; }
.legend { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; max-width: none; margin: .75rem 0 0; padding: 0; list-style: none; font-size: .85rem; color: var(--soft); }
.legend li::before { content: ""; display: inline-block; box-sizing: border-box; width: 1.5rem; height: .9rem;
  border-radius: 4px; margin-right: .45rem; vertical-align: -.1rem; border: 1px solid #888; }
.legend .l-kept::before { background: var(--kept); border-color: var(--kept); } .legend .l-more::before { border: 2.5px solid var(--more); }
.legend .l-match::before { border: 2.5px dashed var(--match); } .legend .l-cut::before { border: 3px solid var(--kept); }
.legend .l-note::before { display: none; }
#text, #prompt { white-space: pre-wrap; overflow-wrap: anywhere; font: .95rem/1.75 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; max-width: none; margin: .5rem 0; }
#text .accepted { background: var(--mark); border-bottom: 2px solid var(--kept); } #text [data-round] { cursor: pointer; }
#text .now { outline: 2px solid currentColor; outline-offset: 2px; border-radius: 2px; }
.sign { color: var(--soft); }
@media (max-width: 40rem) {
  .steps { width: 100%; justify-content: space-between; } .steps output { min-width: 0; flex: 1; } .keys { display: none; }
  .bar label { width: 100%; } .bar select { flex: 1; }
}
`;

const VIEWER = `
<section id="viewer" hidden aria-label="Rounds, step by step">
<div class="bar">
<label>Generation <select id="generation"></select></label>
<span class="steps"><button id="first" aria-label="first round">«</button><button id="previous"
aria-label="previous round">‹</button><output id="where" aria-live="polite"></output><button id="next"
aria-label="next round">›</button><button id="last" aria-label="last round">»</button></span>
<span class="soft keys"><kbd>←</kbd> <kbd>→</kbd> rounds, <kbd>p</kbd> <kbd>n</kbd> generations</span>
</div>
<div id="strip"></div>
<input type="range" id="slider" min="1" aria-label="round">
<dl id="numbers"></dl>
<div id="tree" tabindex="0" role="region" aria-label="tree of this round"></div>
<ul class="legend">
<li class="l-kept">accepted</li><li class="l-more">extra token: the target's own</li><li>rejected</li>
<li class="l-match">✓ would have been accepted, had its parent been</li>
<li class="l-cut">accepted, but behind the end</li>
<li class="l-note">d, t: probability after the parent by the draft, by the target</li>
</ul>
<h2>Text so far</h2>
<div id="text"></div>
<p class="soft" id="end"></p>
<details><summary>prompt</summary><div id="prompt"></div></details>
</section>`;

const DEFINITIONS =
  "tau counts the tokens that rounds emitted, cut at the end of the text. The published script keeps what is " +
  "behind the end and leaves out one round a generation; vLLM keeps it too and counts every round; SpecForge " +
  "adds the first token of each generation, which no round made.";

const hash = (text: string) =>
  `'sha256-${createHash("sha256").update(text, "utf8").digest("base64")}'`;

/** The page as HTML. `name` is the trace's; `settings` are taken from its first generation. */
export function renderTracePage(
  { generations, cutLine }: Trace,
  { name, texts }: { name: string; texts: TokenTexts },
): string {
  const totals = traceTotals(generations);
  const style = STYLE + VIEWER_STYLE;
  const script = `"use strict";\n${DRAWING_SOURCE}\n${VIEWER_SOURCE}
runViewer(window, JSON.parse(document.getElementById("data").textContent));
`.replace(/<(?=\/script|!--)/gi, "\\x3c");
  const policy = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}`;
  // "</" inside a script would end it.
  const json = JSON.stringify(viewerData(generations, texts)).replaceAll("<", "\\u003c");
  const { value, numerator, denominator } = totals.tau;
  const lead = `${name}: ${generations.length} generations, ${totals.rounds} rounds, ` +
    `tau ${value.toFixed(3)} (${numerator} tokens / ${denominator} rounds)` +
    (cutLine === undefined ? "" : `; line ${cutLine} was cut off and is left out`);
  const settings = Object.entries(generations[0]?.start.settings ?? {}).map(([key, v]) => [
    key,
    typeof v === "string" ? v : JSON.stringify(v),
  ]);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(`Trace ${name}`)}</title><style>${style}</style></head><body>
<h1>GRIFFIN Lab: what was drafted, what was accepted</h1>
<p class="soft lead">${escapeHtml(lead)}</p>
<noscript><p>The rounds themselves need scripts; the totals below do not.</p></noscript>
${VIEWER}
<h2>Totals</h2>
<p>${escapeHtml(DEFINITIONS)}</p>
${renderTable(ratioRows(totals))}
<h2>Generations</h2>
${renderTable(generationRows(generations))}
<h2>Settings of the first generation</h2>
${renderTable([["setting", "value"], ...settings])}
<script type="application/json" id="data">${json}</script>
<script>${script}</script>
</body></html>
`;
}
