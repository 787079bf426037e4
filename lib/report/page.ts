/**
 * A report as one self-contained HTML page: figures by Plotly (its code inlined), each with its numbers as a
 * table, readable in light and dark. It asks the network for nothing, and its policy forbids it to; without
 * scripts all its numbers still stand. What goes on a page of an evaluation: `evaluation_page.ts`.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type Environment, environmentRows } from "./environment.ts";
import type { Figure } from "./figures.ts";
import { escapeHtml } from "./html.ts";
import { renderSamples, type Sample, SAMPLE_STYLE } from "./samples.ts";
import { numericColumns } from "./table.ts";

export { escapeHtml } from "./html.ts";

/** A part of a page. */
export interface Section {
  heading: string;
  text?: string;
  /** What the reader must know before the numbers; set apart. */
  warnings?: readonly string[];
  /** A command line. */
  code?: string;
  /** First row is the heading. */
  table?: readonly (readonly (string | number)[])[];
  figures?: readonly Figure[];
  samples?: readonly Sample[];
}

export interface Page {
  title: string;
  lead: string;
  sections: readonly Section[];
  environment: Environment;
}

/** Longer cells take several lines. */
const LONG = 36;

/** A table that scrolls by itself where it is wider than the page; the first row is its heading. */
export function renderTable(rows: readonly (readonly (string | number)[])[]): string {
  const numeric = numericColumns(rows);
  const cells = (row: readonly (string | number)[], tag: "td" | "th") =>
    row.map((cell, c) => {
      const text = String(cell), kind = numeric[c] ? "n" : text.length > LONG ? "long" : "";
      return `<${tag}${kind && ` class="${kind}"`}>${escapeHtml(text)}</${tag}>`;
    }).join("");
  const [head, ...body] = rows;
  return `<div class="wide"><table><thead><tr>${cells(head, "th")}</tr></thead><tbody>${
    body.map((row) => `<tr>${cells(row, "td")}</tr>`).join("")
  }</tbody></table></div>`;
}

/** Nothing is loaded from anywhere; the page's own scripts and styles run. */
const POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:";

/**
 * On paper: black on white whatever the screen's scheme, tables whole and small enough, nothing cut in the midst.
 * What is folded up on a screen stays folded: the pictures above it say the same.
 */
const PRINT_STYLE = `
@page { margin: 14mm; }
@media print {
  :root { color-scheme: light; --text: #000; --soft: #444; --line: #bbb; --back: #fff; --mark: #cfe6f5; --warn: #b25b00;
    font-size: 11px; }
  body { font-size: 1rem; max-width: none; padding: 0; }
  h2, h3, h2 + p { break-after: avoid; } tr, .figures > section, .warnings, .code, .sample { break-inside: avoid; }
  .wide { overflow: visible; background: none; } .plot { filter: none; } th, td { padding: .2rem .6rem .2rem 0; }
  td:not(.n), th { white-space: normal; overflow-wrap: break-word; }
  details { display: none; } .figures { grid-template-columns: 1fr 1fr; gap: 0 1rem; }
}
`;

/** How all pages look. */
export const STYLE = `
:root { color-scheme: light dark; --text: #1b1b1b; --soft: #5f6368; --line: #d8dade; --back: #fff;
  --mark: #cfe6f5; --warn: #b25b00; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --soft: #a0a4a8; --line: #3a3d41; --back: #17181a;
    --mark: #17405c; --warn: #f0a94b; }
  .plot { filter: brightness(1.35); }
}
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: .95rem; margin: 1.5rem 0 0; } p { max-width: 42rem; } .soft, summary { color: var(--soft); }
.wide { overflow-x: auto; background:
  linear-gradient(90deg, var(--back) 40%, #0000) 0 / 2.5rem 100% no-repeat local,
  linear-gradient(270deg, var(--back) 40%, #0000) 100% / 2.5rem 100% no-repeat local,
  linear-gradient(90deg, var(--line), #0000) 0 / .7rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--line), #0000) 100% / .7rem 100% no-repeat scroll; } table { border-collapse: collapse; font-size: .9rem; margin: .75rem 0; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.long { white-space: normal; overflow-wrap: anywhere; min-width: 14rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 0 2rem; }
.figures > section { min-width: 0; } details { font-size: .9rem; }
.warnings { border: 1px solid var(--warn); border-left-width: 4px; margin: 1rem 0; padding: .5rem 1rem .5rem 2rem; }
.code { white-space: pre-wrap; overflow-wrap: anywhere; font: .9rem/1.5 ui-monospace, monospace;
  border: 1px solid var(--line); padding: .6rem .8rem; }
${SAMPLE_STYLE}${PRINT_STYLE}`;

/** Figures have widths in pixels, of the screen: on paper half a page, and afterwards the screen's again. */
const ON_PAPER = `const plots = () => document.querySelectorAll(".plot");
globalThis.addEventListener?.("beforeprint", () =>
  plots().forEach((p) => Plotly.relayout(p, { width: 330, autosize: false })));
globalThis.addEventListener?.("afterprint", () =>
  plots().forEach((p) => Plotly.relayout(p, { width: null, autosize: true })));`;

/** Plotly's code, as a script element may hold it: 1.5 MB. */
export async function plotlySource(): Promise<string> {
  const { resolve } = createRequire(import.meta.url);
  const source = await readFile(resolve("plotly.js-cartesian-dist-min"), "utf8");
  return source.replace(/<\/(?=script)/gi, "<\\/");
}

/** A value as JSON that a script element may hold: "</" inside would end it. */
export const scriptJson = (value: unknown): string =>
  JSON.stringify(value).replaceAll("<", "\\u003c");

/** The page as HTML. */
export async function renderPage({ title, lead, sections, environment }: Page): Promise<string> {
  const plotly = await plotlySource();
  const drawn: Figure[] = [];
  const figure = (f: Figure) => {
    drawn.push(f);
    return `<section><h3>${escapeHtml(f.title)}</h3><div class="plot" id="figure${
      drawn.length - 1
    }"></div>` +
      `<details><summary>numbers</summary>${renderTable(f.table)}</details></section>`;
  };
  const body = sections.map(({ heading, text, warnings = [], code, table: rows, ...more }) => {
    const { figures = [], samples = [] } = more;
    const listed = warnings.map((w) => `<li>${escapeHtml(w)}</li>`).join("");
    return [
      `<h2>${escapeHtml(heading)}</h2>`,
      text === undefined ? "" : `<p>${escapeHtml(text)}</p>`,
      warnings.length > 0 ? `<ul class="warnings">${listed}</ul>` : "",
      code === undefined ? "" : `<pre class="code">${escapeHtml(code)}</pre>`,
      rows === undefined ? "" : renderTable(rows),
      figures.length > 0 ? `<div class="figures">${figures.map(figure).join("")}</div>` : "",
      renderSamples(samples),
    ].join("\n");
  }).join("\n");
  const json = scriptJson(drawn.map(({ data, layout }) => ({ data, layout })));
  const where = environmentRows(environment);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(title)}</h1><p class="soft">${escapeHtml(lead)}</p>
${body}
<h2>Where this was measured</h2>
${renderTable([["what", "value"], ...where])}
<script>${plotly}</script>
<script>
${json}.forEach((f, i) =>
  Plotly.newPlot("figure" + i, f.data, f.layout, { responsive: true, displayModeBar: false }));
${ON_PAPER}
</script>
</body></html>
`;
}
