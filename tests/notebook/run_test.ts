/** Notebooks in a real kernel: outputs in order, late ones too, parameters, the place of an error, a cell without end. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Notebook, type Output, textOf, withParameters } from "../../lib/notebook/document.ts";
import { type NotebookEvent, runNotebook } from "../../lib/notebook/run.ts";
import { notebookOf, withFolder } from "./cells.ts";

async function run(notebook: Notebook, options: { timeout?: number } = {}) {
  const events: NotebookEvent[] = [];
  await withFolder(async (folder) => {
    const path = join(folder, "a.ipynb");
    for await (const event of runNotebook(notebook, { path, ...options })) events.push(event);
  });
  return { events, last: events.at(-1)! };
}

function outputsOf({ last }: { last: NotebookEvent }): Output[][] {
  assert.equal(last.type, "finished", JSON.stringify(last));
  return last.type === "finished" ? last.notebook.cells.map((cell) => cell.outputs ?? []) : [];
}

Deno.test("streams, results, displays and their updates are kept, those that come late too", async () => {
  const show = (text: string, update = false) =>
    `await Deno.jupyter.broadcast("${update ? "update_" : ""}display_data", ` +
    `{ data: { "text/plain": "${text}" }, metadata: {}, transient: { display_id: "d" } });`;
  const outputs = outputsOf(
    await run(notebookOf(
      ["markdown", "# Title"],
      ["code", "const x: number = 20;\nconsole.log('one');\nconsole.log('two');\nx + 1"],
      ["code", show("before")],
      ["code", `${show("first")}\n${show("second", true)}`],
      ["code", "setTimeout(() => console.log('late'), 60);\nundefined"],
    )),
  );
  const [, first, second, third, late] = outputs;
  assert.deepEqual(first.map((o) => o.output_type), ["stream", "execute_result"]);
  assert.ok(first[0].output_type === "stream" && textOf(first[0].text) === "one\ntwo\n");
  const plain = (o: Output) => o.output_type === "display_data" && o.data["text/plain"];
  assert.deepEqual(second.map(plain), ["before"]);
  assert.deepEqual(third.map(plain), ["second"], "an update replaces what it updates");
  assert.ok(late.length === 0 || late[0].output_type === "stream");
});

Deno.test("parameters of the command line are what the cells see", async () => {
  const notebook = notebookOf(
    ["code:parameters", "let passes = 3;\nlet name = 'x';"],
    ["code", "console.log(passes * 2, name);"],
  );
  const given = withParameters(notebook, { passes: "21", name: "some text" }, { path: "a.ipynb" });
  const outputs = outputsOf(await run(given)), stream = outputs.at(-1)![0];
  assert.ok(stream.output_type === "stream" && textOf(stream.text) === "42 some text\n");
  assert.deepEqual(outputs[1], [], "setting them shows nothing");
});

Deno.test("the first error ends it, with cell and line; later cells do not run", async () => {
  const { events, last } = await run(notebookOf(
    ["markdown", "text"],
    ["code", "const a = 1;"],
    [
      "code",
      "type T = {\n  b: number;\n};\nconst b: T = {\n  b: a,\n};\n\nthrow new Error(`broken ${b.b}`);",
    ],
    ["code", "console.log('never');"],
  ));
  assert.deepEqual(last, { type: "failed", index: 2, line: 8, message: "Error: broken 1" });
  assert.deepEqual(events.map(({ type }) => type), ["cell", "failed"]);
});

Deno.test("a cell without end and a kernel that ends are errors too", async () => {
  const endless = await run(notebookOf(["code", "await new Promise(() => {});"]), { timeout: 800 });
  assert.ok(endless.last.type === "failed" && /longer than 0\.8 s/.test(endless.last.message));
  const exits = await run(notebookOf(["code", "Deno.exit(3);"]), { timeout: 20_000 });
  assert.ok(exits.last.type === "failed" && /kernel ended/.test(exits.last.message));
});
