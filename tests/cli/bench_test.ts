/** Tests lib/cli/bench.ts: its table is its help, and a bench answers with its rows. What is timed: `tests/bench`. */
import assert from "node:assert/strict";
import { ROOT, runTask } from "./tasks.ts";

const bench = (...args: string[]) => runTask(ROOT, { task: "bench", args });

Deno.test("help has a line for each bench, in the order of the choices", async () => {
  const { code, stdout, stderr } = await bench("--help");
  assert.equal(code, 0, stderr);
  const choices = /--what (\S+)/.exec(stdout)![1].split("|");
  const listed = [...stdout.matchAll(/^ {2}([a-z][a-z-]+) +\S.{15,90}$/gm)].map(([, name]) => name);
  assert.deepEqual(listed, choices);
  assert.ok(choices.length >= 11 && choices[0] === "training", choices.join());
});

Deno.test("forwards while decoding: rows with the machine they were timed on", async () => {
  const { code, stdout, stderr } = await bench("decoding", "--rounds", "1", "--json");
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^\d+ cores, .*; ONNX Runtime \S+, f32\n/);
  const { what, rows, environment } = JSON.parse(stdout);
  assert.deepEqual([what, environment.deno], ["decoding", Deno.version.deno]);
  assert.equal(rows[0].plain_tokens, 1);
  assert.ok(rows.every((r: { median: number }) => r.median > 0), stdout);
});

Deno.test("an unknown bench, and one row of a bench that makes none by itself, are refused", async () => {
  const unknown = await bench("speed");
  assert.match(unknown.stderr, /^error: --what is speed, wanted one of training, decoding, memory/);
  const { code, stderr } = await bench("chat", "--measure", "1,64");
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^error: Cannot measure 1,64 alone: .* of chat, wanted one of memory, loading, frozen\n/,
  );
});
