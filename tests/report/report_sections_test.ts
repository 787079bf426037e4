/** Sections that all reports share: numbers as people read them, and what was not recorded named as such. */
import assert from "node:assert/strict";
import {
  costSection,
  formatBytes,
  formatSeconds,
  inputsSection,
  reproduceLine,
  reproduceSection,
} from "../../lib/report/report_sections.ts";
import { storedEvaluation, TRAINING_RECORD } from "./stored_runs.ts";

Deno.test("bytes and seconds in units that fit", () => {
  const bytes = [0, 999, 1000, 1_540_000, 123_456_789, 2e9, 5e15].map(formatBytes);
  assert.deepEqual(bytes, ["0 B", "999 B", "1.0 kB", "1.5 MB", "123 MB", "2.0 GB", "5000 TB"]);
  const seconds = [0.04, 59.9, 60, 200.4, 3599.6, 3723].map(formatSeconds);
  assert.deepEqual(seconds, [
    "0.0 s",
    "59.9 s",
    "1 min 0 s",
    "3 min 20 s",
    "1 h 0 min",
    "1 h 2 min",
  ]);
});

Deno.test("a row a thing that was read", () => {
  const { table } = inputsSection(TRAINING_RECORD);
  assert.deepEqual(table!.slice(1), [
    ["target", "data/target", "aaaaaaaaaaaaaaaa", "", "", ""],
    ["training data", "runs/data/train", "dddddddddddddddd", "24", "1,955", ""],
    ["validation data", "runs/data/validation", "eeeeeeeeeeeeeeee", "4", "", ""],
  ]);
  const evaluation = inputsSection(storedEvaluation({ a: [2] }));
  assert.deepEqual(evaluation.table!.slice(1).map((row) => [row[0], row[5]]), [
    ["target", "50.0 MB"],
    ["draft", "8.0 MB"],
    ["suite", ""],
  ]);
});

Deno.test("what was not recorded is named", () => {
  const { table, text } = inputsSection({});
  assert.equal(table, undefined);
  assert.match(text!, /not recorded/);
  assert.deepEqual(
    costSection({}).table!.slice(1).map((row) => row[1]),
    Array(3).fill("not recorded"),
  );
  const cost = costSection(TRAINING_RECORD, { more: [["drafts", "1"]] }).table!;
  assert.deepEqual(cost.slice(1).map((row) => row[1]), ["1 h 2 min", "5,865", "not recorded", "1"]);
  assert.equal(reproduceLine({}), undefined);
  const missing = reproduceSection({ note: "It is the same.", commit: "abc1234" });
  assert.equal(missing.code, undefined);
  assert.match(missing.text!, /command line is not recorded/);
});

Deno.test("the line of a run goes to another folder; a tree with changes is warned about", () => {
  const line = reproduceLine(storedEvaluation({ a: [2] }));
  assert.equal(line, "deno task eval --draft 'a draft' --seed 3 --quick --out runs/again");
  const clean = reproduceSection({ line, note: "The same.", commit: "abc1234" });
  assert.deepEqual(clean, {
    heading: "How to reproduce",
    text: "The same. Code: commit abc1234.",
    code: line,
  });
  const dirty = reproduceSection({ line, note: "The same.", commit: "abc1234 with changes" });
  assert.match(dirty.text!, /commit abc1234\./);
  assert.match(dirty.warnings![0], /differed from that commit/);
});
