/** Tests lib/data/suites.ts: our suite, question files, and every error with its place. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { askedIn, loadSuite } from "../../lib/data/suites.ts";

const folder = await Deno.makeTempDir();
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

Deno.test("ours are the evaluation prompts", async () => {
  const { name, questions } = await loadSuite("ours", { count: 6 });
  deepEqual([name, questions.length], ["ours", 6]);
  deepEqual(questions.map((q) => q.id.split("-")[0]), Array(6).fill("evaluation"));
});

Deno.test("a question file gives the turns of each line, up to the count", async () => {
  const row = (id: number) =>
    JSON.stringify({ question_id: id, category: "c", turns: [`q${id}`, "b"] });
  const path = file("some.jsonl", `${row(1)}\n\n${row(2)}\n${row(3)}\n`);
  const suite = await loadSuite(path, { count: 2 });
  equal(suite.name, "some");
  deepEqual(suite.questions, [
    { id: "1", category: "c", text: "q1", later: ["b"] },
    { id: "2", category: "c", text: "q2", later: ["b"] },
  ]);
  deepEqual(suite.questions.map(askedIn), [["q1", "b"], ["q2", "b"]]);
  const first = await loadSuite(path, { turns: 1 });
  deepEqual(first.questions.map(askedIn), [["q1"], ["q2"], ["q3"]]);
});

Deno.test("a line that is not asked for is not read; lines may end as on Windows", async () => {
  const path = file("lines.jsonl", '{"turns":["a"],"category":""}\r\n\r\n{"turns":["b"]}\r\nno');
  const { questions } = await loadSuite(path, { count: 2 });
  deepEqual(questions.map((q) => q.text), ["a", "b"]);
  equal(new Set(questions.map((q) => q.id)).size, 2);
  await rejects(loadSuite(path), /lines\.jsonl:4: found text that is not JSON/);
});

Deno.test("errors name file and line", async () => {
  await rejects(
    loadSuite(join(folder, "no")),
    /Cannot read suite .*no: no such file, wanted "ours"/,
  );
  await rejects(
    loadSuite(folder),
    /Cannot read suite .*: a folder, wanted "ours", mt_bench, .* or a file/,
  );
  await rejects(
    loadSuite(file("empty", "\n")),
    /Cannot evaluate on .*empty: it holds no questions/,
  );
  await rejects(
    loadSuite(file("text", '{"turns":["a"]}\nhello')),
    /text:2: found text that is not JSON/,
  );
  await rejects(loadSuite(file("none", '{"x":1}')), /none:1: turns is undefined, wanted/);
  await rejects(loadSuite(file("null", "null")), /null:1: turns is undefined, wanted/);
  await rejects(loadSuite(file("no turns", '{"turns":[]}')), /no turns:1: turns is \[\], wanted/);
  await rejects(loadSuite(file("blank", '{"turns":[" "]}')), /blank:1: turns is \[" "\], wanted/);
  await rejects(
    loadSuite(file("later", '{"turns":["a",7]}')),
    /later:1: turns is \["a",7\], wanted/,
  );
});
