/** Pages as Markdown: all parts in order, tables that stay tables whatever the text, code that stays code. */
import assert from "node:assert/strict";
import { escapeMarkdown, markdownTable, renderMarkdown } from "../../lib/report/page_markdown.ts";
import { SOMEWHERE } from "./stored_runs.ts";

Deno.test("text is escaped, a cell is one line", () => {
  assert.equal(escapeMarkdown("a|b*c_d`e<f>[g]\\h"), "a\\|b\\*c\\_d\\`e\\<f\\>\\[g\\]\\\\h");
  assert.equal(escapeMarkdown("two\n  lines"), "two lines");
});

Deno.test("columns of numbers are set to the right, every row has all columns", () => {
  const table = markdownTable([["name", "n"], ["a|b", 1], ["c\nd", "2.5 [2, 3]"]]);
  assert.equal(table, "| name | n |\n| --- | --: |\n| a\\|b | 1 |\n| c d | 2.5 \\[2, 3\\] |");
});

Deno.test("a page: title, lead, sections in order, warnings, code, figures as their numbers, the place", () => {
  const markdown = renderMarkdown({
    title: "A *page*",
    lead: "What for?",
    environment: { ...SOMEWHERE, cores: NaN },
    sections: [
      { heading: "First", text: "Some text.", warnings: ["not | the same", "nor this"] },
      {
        heading: "Second",
        code: "deno task eval --out 'a b'",
        table: [["x"], [1]],
        figures: [{ title: "A figure", data: [], layout: {}, table: [["y"], [2]] }],
      },
    ],
  });
  const wanted = [
    "# A \\*page\\*\n\nWhat for?\n\n## First\n\nSome text.\n\n> **Warning:** not \\| the same\n>\n> **Warning:** nor",
    "## Second\n\n```sh\ndeno task eval --out 'a b'\n```\n\n| x |\n| --: |\n| 1 |",
    "<details><summary>A figure</summary>\n\n| y |\n| --: |\n| 2 |\n\n</details>",
    "## Where this was measured\n\n| what | value |",
    "| cores | not recorded |",
    "| lockfile | 0123456789abcdef |",
  ];
  let at = 0;
  for (const part of wanted) {
    const found = markdown.indexOf(part, at);
    assert.ok(found >= at, `${part}\nis not in\n${markdown}`);
    at = found;
  }
});
