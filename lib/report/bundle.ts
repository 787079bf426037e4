/**
 * Values as MIME bundles: one message that shows in JupyterLab, VS Code, static pages and previews of code hosts.
 * A figure goes as Plotly JSON, as HTML that draws it where Plotly's code is at hand and holds a picture where it
 * is not, as SVG, and as plain text. Sent by `show.ts`; pictures are drawn by `svg_chart.ts`.
 */
import { Buffer } from "node:buffer";
import { GREY } from "./figure_layout.ts";
import type { Figure } from "./figures.ts";
import { escapeHtml, type Page, renderTable, scriptJson } from "./page.ts";
import { drawFigure } from "./svg_chart.ts";
import { formatTable } from "./table.ts";

/** Rows of cells, the first the heading. */
export type Table = readonly (readonly (string | number)[])[];

/** A finished picture, as `drawTree` and `inspectMask` make them. */
export interface Picture {
  svg: string;
  /** Said where pictures are not shown. */
  text: string;
}

/** What can be shown. */
export type Showable = string | Figure | Picture | Table | Sections;

/** A page without its environment. */
export type Sections = Pick<Page, "title" | "sections">;

/** By MIME type. */
export type Bundle = Record<string, string | Record<string, unknown>>;

const isTable = (value: Showable): value is Table => Array.isArray(value);
const isPicture = (value: Showable): value is Picture =>
  typeof value === "object" && "svg" in value;
const isPage = (value: Showable): value is Sections =>
  typeof value === "object" && "sections" in value;

/** Five digits are more than a picture shows, and a third of the file. */
function short(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, v) => {
    return typeof v === "number" && !Number.isInteger(v) ? Number(v.toPrecision(5)) : v;
  }));
}

/** A long title in two lines, broken after a comma or colon: Plotly cuts what is wider than a narrow page. */
function titleLines(title: string, { most = 40 }: { most?: number } = {}): string[] {
  if (title.length <= most) return [title];
  const breaks = [...title.matchAll(/[,:] /g)].map(({ index }) => index + 2);
  const at = breaks.findLast((i) => i <= most) ?? breaks[0];
  return at === undefined ? [title] : [title.slice(0, at).trimEnd(), title.slice(at)];
}

/** The figure for Plotly, with its title above its legend, as wide as its place. */
function plotlyJson({ title, data, layout }: Figure): Record<string, unknown> {
  const { margin = {}, height = 320 } = layout as Record<string, object>;
  const lines = titleLines(title), more = 20 * (lines.length - 1);
  const above = (layout.annotations === undefined ? 64 : 84) + more;
  // Plotly measures two lines as if the first stood above the place: room for it.
  const top = { y: 1, yref: "container", yanchor: "top", pad: { t: 8 + more, l: 4 } };
  const text = { text: lines.map(escapeHtml).join("<br>"), font: { size: 15 } };
  return short({
    data,
    layout: {
      ...layout,
      height: Number(height) + 48 + more,
      title: { ...text, x: 0, xref: "container", xanchor: "left", ...top },
      margin: { ...margin, t: above },
    },
  }) as Record<string, unknown>;
}

/** A picture as an element that needs nothing else: sanitizers of front ends let images stand, and strip `<svg>`. */
function imageOf(svg: string, { alt, wide }: { alt: string; wide: boolean }): string {
  const style = wide ? "max-width:none" : "max-width:100%;height:auto";
  const data = Buffer.from(svg).toString("base64");
  return `<img alt="${escapeHtml(alt)}" style="${style}" src="data:image/svg+xml;base64,${data}">`;
}

/** Draws the figure over its picture as soon as Plotly is there, and leaves it be where it never comes. */
function drawing(figure: Figure, { id }: { id: string }): string {
  const image = imageOf(drawFigure(figure), { alt: figure.title, wide: false });
  return `<div id="${id}">${image}</div><script>(function(){var f=${
    scriptJson(plotlyJson(figure))
  },n=0;(function go(){var P=window.Plotly,d=document.getElementById("${id}");` +
    `if(P&&d){d.innerHTML="";P.newPlot(d,f.data,f.layout,{responsive:true,displaylogo:false});}` +
    `else if(n++<50)setTimeout(go,100);})();})();</script>`;
}

/** Plotly's code as a script that a page of modules does not catch. */
export const libraryHtml = (source: string): string =>
  `<script>if(!window.Plotly){(function(define,module,exports,require){${source}}).call(window);}</script>`;

/** A new name for an element of a document that many outputs share. */
const freshId = () => `figure-${crypto.randomUUID().slice(0, 8)}`;

const figureText = ({ title, table }: Figure) =>
  `${title}\n${formatTable(table.slice(0, 13))}${
    table.length > 13 ? `\n... ${table.length - 13} more rows` : ""
  }`;

function pageHtml({ title, sections }: Sections): string {
  return [
    `<h3>${escapeHtml(title)}</h3>`,
    ...sections.flatMap(({ heading, text, table, figures = [] }) => [
      `<h4>${escapeHtml(heading)}</h4>`,
      text === undefined ? "" : `<p>${escapeHtml(text)}</p>`,
      table === undefined ? "" : renderTable(table),
      ...figures.map((f) => drawing(f, { id: freshId() })),
    ]),
  ].join("");
}

/** The bundle of a value. @throws on figures with kinds of traces that are not drawn without a browser. */
export function bundleOf(value: Showable): Bundle {
  if (typeof value === "string") return { "text/plain": value };
  if (isTable(value)) {
    return { "text/html": renderTable(value), "text/plain": formatTable(value) };
  }
  if (isPicture(value)) {
    const svg = value.svg.replaceAll("currentColor", GREY);
    const image = imageOf(svg, { alt: value.text, wide: true });
    return {
      "text/html": `<div style="overflow-x:auto">${image}</div>`,
      "image/svg+xml": svg,
      "text/plain": value.text,
    };
  }
  if (isPage(value)) {
    const text = value.sections.map(({ heading, text = "", table, figures = [] }) =>
      [
        heading,
        text,
        ...(table === undefined ? [] : [formatTable(table)]),
        ...figures.map(figureText),
      ].join("\n")
    );
    return { "text/html": pageHtml(value), "text/plain": [value.title, ...text].join("\n\n") };
  }
  return {
    "application/vnd.plotly.v1+json": plotlyJson(value),
    "text/html": drawing(value, { id: freshId() }),
    "image/svg+xml": drawFigure(value),
    "text/plain": figureText(value),
  };
}
