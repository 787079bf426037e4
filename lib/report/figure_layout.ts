/**
 * How all figures look: axes, margins, legend, colours (Okabe and Ito's palette). Grey text and no background,
 * so that light and dark pages both serve. It knows no data: `figures.ts` and `training_figures.ts` do.
 */

export type Layout = Record<string, unknown>;

/** One colour a suite or a pass, the same in every figure. */
export const COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"];
/** Text and marks; grid and bands. */
export const GREY = "#7a7a7a", FAINT = "rgba(128,128,128,0.3)";

/** A titled axis with a faint grid. */
export function axis(title: string, more: Layout = {}): Layout {
  const grid = { gridcolor: FAINT, zerolinecolor: FAINT, automargin: true };
  return { title: { text: title, font: { size: 13 } }, ...grid, ...more };
}

/** A layout of two axes. */
export function layout(axes: { xaxis: Layout; yaxis: Layout }, more: Layout = {}): Layout {
  return {
    height: 320,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: GREY, family: "system-ui, sans-serif", size: 13 },
    colorway: COLORS,
    margin: { t: 16, r: 24, b: 48, l: 56 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" },
    ...axes,
    ...more,
  };
}

/** To three decimals, for tables. */
export const round = (x: number) => Math.round(x * 1000) / 1000;
