/** The static page of a notebook: text, code and the best static picture; what is text stays text. */
import assert from "node:assert/strict";
import { notebookHtml } from "../../lib/notebook/html.ts";
import { notebookOf } from "./cells.ts";

Deno.test("markdown, code and outputs stand in order; texts are escaped, pictures are not", () => {
  const notebook = notebookOf(["markdown", "# A *title*"], ["code", "if (a < b) f();"]);
  const bundle = (data: Record<string, unknown>) =>
    ({ output_type: "display_data", data, metadata: {} }) as const;
  notebook.cells[1].outputs = [
    { output_type: "stream", name: "stdout", text: ["<b>", "\u001b[33m7\u001b[39m"] },
    bundle({
      "text/plain": "plain",
      "image/svg+xml": ["<svg>", "</svg>"],
      "text/html": "<i>no</i>",
    }),
    bundle({ "image/png": "AAAA\n", "text/html": "<i>no</i>" }),
    bundle({ "text/plain": "only <plain>" }),
    { output_type: "error", ename: "Error", evalue: "x < y", traceback: ["at <anonymous>:1:1"] },
  ];
  const page = notebookHtml(notebook, { title: "A & B" });
  const order = [
    "<title>A &amp; B",
    "<h1>A <em>title</em></h1>",
    "if (a &lt; b) f();",
    "&lt;b&gt;7",
  ];
  order.push(
    "<svg></svg>",
    'src="data:image/png;base64,AAAA"',
    "only &lt;plain&gt;",
    "Error: x &lt; y",
  );
  const places = order.map((text) => page.indexOf(text));
  assert.ok(places.every((at, i) => at > (places[i - 1] ?? 0)), JSON.stringify(places));
  assert.ok(!page.includes("<i>no</i>"), "a static picture stands for the interactive one");
});
