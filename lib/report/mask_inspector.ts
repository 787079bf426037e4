/**
 * The mask inspector: the tokens of a training example, a paragraph a pass, each coloured by what the alignment
 * mask did to its row: trained, dropped by the mask, outside the loss; underlined where the draft's top k missed
 * the true token. A pure function from rows to SVG. The masks: `lib/train/inspect.ts`.
 */
import { escapeHtml } from "./page.ts";
import { px } from "./svg_marks.ts";
import { visibleText } from "./tree_drawing.ts";

/** One pass over an example; arrays have an entry a row. */
export interface InspectedPass {
  /** The row is trained in this pass. */
  trained: readonly boolean[];
  /** The true token was among the draft's top k in this pass. */
  hit: readonly boolean[];
}

/** What is drawn: texts of the tokens that rows predict, which rows the loss counts at all, the passes. */
export interface InspectedExample {
  texts: readonly string[];
  trainable: readonly boolean[];
  passes: readonly InspectedPass[];
}

/** Blue for trained, orange for dropped: told apart by all, and by a frame as well. */
const TRAINED = "#0072B2", DROPPED = "#E69F00", MISSED = "#D55E00", GREY = "#7a7a7a";

/** Share of the trainable rows that each pass trains and misses. */
export function inspectedShares(
  { trainable, passes }: InspectedExample,
): { kept: number; misaligned: number }[] {
  const rows = trainable.flatMap((is, row) => is ? [row] : []);
  const share = (holds: (row: number) => boolean) =>
    rows.filter(holds).length / Math.max(1, rows.length);
  return passes.map(({ trained, hit }) => ({
    kept: share((r) => trained[r]),
    misaligned: share((r) => !hit[r]),
  }));
}

/** The drawing, `width` pixels wide. Rows outside the loss are left out, but for the last before it. */
export function inspectMask(
  example: InspectedExample,
  { width = 760, title = "Alignment mask, pass by pass" }: { width?: number; title?: string } = {},
): string {
  const { texts, trainable, passes } = example, shares = inspectedShares(example);
  const parts: string[] = [], LINE = 26, LEFT = 8, CHAR = 7.3;
  let y = 58;
  passes.forEach(({ trained, hit }, p) => {
    const { kept, misaligned } = shares[p];
    parts.push(
      `<text x="${LEFT}" y="${y}" fill="${GREY}" font-family="system-ui, sans-serif" font-weight="600">` +
        `pass ${p + 1}: trains ${(100 * kept).toFixed(0)} %, misses ${
          (100 * misaligned).toFixed(1)
        } %</text>`,
    );
    y += 12;
    let x = LEFT;
    for (const [row, text] of texts.entries()) {
      if (!trainable[row]) continue;
      const label = visibleText(text), wide = Array.from(label).length * CHAR + 6;
      if (x > LEFT && x + wide > width - LEFT) [x, y] = [LEFT, y + LINE];
      const color = trained[row] ? TRAINED : DROPPED;
      const state = `${trained[row] ? "trained" : "dropped by the mask"}, ${
        hit[row] ? "among" : "outside"
      } the draft's top`;
      parts.push(
        `<g><title>${escapeHtml(`${label}: ${state}`)}</title>` +
          `<rect x="${px(x)}" y="${px(y)}" width="${px(wide - 2)}" height="20" rx="3" ` +
          (trained[row]
            ? `fill="${color}"/>`
            : `fill="${color}" fill-opacity=".15" stroke="${color}" stroke-dasharray="3 2"/>`) +
          `<text x="${px(x + wide / 2 - 1)}" y="${px(y + 14)}" text-anchor="middle" fill="${
            trained[row] ? "#fff" : GREY
          }">${escapeHtml(label)}</text>` +
          (hit[row]
            ? ""
            : `<rect x="${px(x)}" y="${px(y + 20)}" width="${
              px(wide - 2)
            }" height="3.5" fill="${MISSED}"/>`) +
          "</g>",
      );
      x += wide;
    }
    y += LINE + 28;
  });
  const key = [
    [TRAINED, "trained"],
    [DROPPED, "dropped by the mask"],
    [MISSED, "underlined: top k misses it"],
  ].map(([color, text], i) =>
    `<rect x="${LEFT + i * 170}" y="28" width="12" height="10" fill="${color}"/>` +
    `<text x="${
      LEFT + 18 + i * 170
    }" y="37" fill="${GREY}" font-family="system-ui, sans-serif">${text}</text>`
  );
  const height = y - 20;
  return `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escapeHtml(title)}" ` +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-size="12" ` +
    `font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace">` +
    `<text x="${LEFT}" y="16" fill="${GREY}" font-size="14" font-weight="600" ` +
    `font-family="system-ui, sans-serif">${escapeHtml(title)}</text>${key.join("")}${
      parts.join("")
    }</svg>`;
}
