/** A plain-text table for terminals: columns as wide as their widest cell, numbers to the right. */

/** Lines of a table; the first row is the heading. */
export function formatTable(rows: readonly (readonly (string | number)[])[]): string {
  const text = rows.map((row) => row.map(String));
  const widths = text[0].map((_, c) => Math.max(...text.map((row) => row[c].length)));
  const numeric = widths.map((_, c) => text.slice(1).every((row) => /^[-+\d.]/.test(row[c])));
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
