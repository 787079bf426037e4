/**
 * Tables as rows of cells, the first row the heading: which columns hold numbers, and a plain-text form for
 * terminals. The form for pages is in `page.ts`.
 */

/**
 * Which columns hold numbers only, and are set to the right: texts that start like one count, and a lone
 * dash, which stands for a number that there is not.
 */
export function numericColumns(rows: readonly (readonly (string | number)[])[]): boolean[] {
  const [head, ...body] = rows;
  const isNumber = (cell: string | number) => /^[-+]?[\d.]|^NaN$/.test(`${cell}`);
  return head.map((_, c) =>
    body.some((r) => isNumber(r[c])) && body.every((r) => isNumber(r[c]) || r[c] === "-")
  );
}

/** Lines of a table; columns are as wide as their widest cell. */
export function formatTable(rows: readonly (readonly (string | number)[])[]): string {
  const text = rows.map((row) => row.map(String));
  const widths = text[0].map((_, c) => Math.max(...text.map((row) => row[c].length)));
  const numeric = numericColumns(rows);
  const lines = text.map((row) =>
    row.map((cell, c) => numeric[c] ? cell.padStart(widths[c]) : cell.padEnd(widths[c])).join("  ")
      .trimEnd()
  );
  return [lines[0], widths.map((w) => "-".repeat(w)).join("  "), ...lines.slice(1)].join("\n");
}

/** `3.21 [3.05, 3.40]`. */
export function withInterval(value: number, [low, high]: readonly [number, number]): string {
  return `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}
