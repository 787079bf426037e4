/** Tests lib/data/suites.ts: our suite, question files, and every error with its place. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadSuite } from "../../lib/data/suites.ts";

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

Deno.test("a question file gives the first turn of each line, up to the count", async () => {
  const row = (id: number) =>
    JSON.stringify({ question_id: id, category: "c", turns: [`q${id}`, "b"] });
  const path = file("some.jsonl", `${row(1)}\n\n${row(2)}\n${row(3)}\n`);
  const suite = await loadSuite(path, { count: 2 });
  equal(suite.name, "some");
  deepEqual(suite.questions, [
    { id: "1", category: "c", text: "q1" },
    { id: "2", category: "c", text: "q2" },
  ]);
});

Deno.test("errors name file and line", async () => {
  await rejects(
    loadSuite(join(folder, "no")),
    /Cannot read suite .*no: no such file, wanted "ours"/,
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
  await rejects(loadSuite(file("blank", '{"turns":[" "]}')), /blank:1: turns is \[" "\], wanted/);
});
