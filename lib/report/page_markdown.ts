/**
 * A page as Markdown, for reading in a repository and for pasting: the same sections in the same order, figures as
 * the tables of their numbers. The same page as HTML: `page.ts`.
 */
import { environmentRows } from "./environment.ts";
import type { Page } from "./page.ts";
import { fenced, samplesMarkdown } from "./samples.ts";
import { numericColumns } from "./table.ts";

type Rows = readonly (readonly (string | number)[])[];

/** Text that Markdown and the HTML in it take as it is; a cell is one line. */
export function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_~|<>[\]]/g, "\\$&").replace(/\s*\n\s*/g, " ");
}

/** A table; the first row is its heading. Columns of numbers are set to the right. */
export function markdownTable(rows: Rows): string {
  const numeric = numericColumns(rows);
  const line = (row: readonly (string | number)[]) =>
    `| ${row.map((cell) => escapeMarkdown(String(cell))).join(" | ")} |`;
  const [head, ...body] = rows;
  const rule = `| ${numeric.map((right) => right ? "--:" : "---").join(" | ")} |`;
  return [line(head), rule, ...body.map(line)].join("\n");
}

/** The page as Markdown. */
export function renderMarkdown({ title, lead, sections, environment }: Page): string {
  const parts = [`# ${escapeMarkdown(title)}`, escapeMarkdown(lead)];
  for (
    const { heading, text, warnings = [], code, table, figures = [], samples = [] } of sections
  ) {
    parts.push(`## ${escapeMarkdown(heading)}`);
    if (text !== undefined) parts.push(escapeMarkdown(text));
    if (warnings.length > 0) {
      parts.push(warnings.map((w) => `> **Warning:** ${escapeMarkdown(w)}`).join("\n>\n"));
    }
    if (code !== undefined) parts.push(fenced(code, "sh"));
    if (table !== undefined) parts.push(markdownTable(table));
    for (const { title, table: numbers } of figures) {
      const shown = `<details><summary>${escapeMarkdown(title)}</summary>`;
      parts.push(`${shown}\n\n${markdownTable(numbers)}\n\n</details>`);
    }
    if (samples.length > 0) parts.push(samplesMarkdown(samples));
  }
  const where = environmentRows(environment);
  parts.push("## Where this was measured", markdownTable([["what", "value"], ...where]));
  return `${parts.join("\n\n")}\n`;
}
