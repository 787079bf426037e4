/** The progress line: times, bar, ends, width. */
import assert from "node:assert/strict";
import { formatProgress, showSeconds } from "../../lib/cli/progress.ts";

Deno.test("seconds as minutes, with hours where there are some", () => {
  const shown = [0, 5, 59.6, 65, 3599, 3600, 7389, -3].map(showSeconds);
  assert.deepEqual(shown, ["0:00", "0:05", "1:00", "1:05", "59:59", "1:00:00", "2:03:09", "0:00"]);
  assert.deepEqual([NaN, Infinity].map(showSeconds), ["?", "?"]);
});

Deno.test("label, bar, count, time left and note", () => {
  const line = formatProgress({ label: "train", done: 6, total: 24, secondsLeft: 65, note: "x" });
  assert.equal(line, "train [######..................] 6/24 1:05 left x");
});

Deno.test("the bar is empty at the start, full at the end and beyond, whatever the total", () => {
  const bar = (done: number, total: number) =>
    /\[(.*)\]/.exec(formatProgress({ label: "", done, total, secondsLeft: 0 }))![1];
  assert.equal(bar(0, 10), ".".repeat(24));
  assert.equal(bar(10, 10), "#".repeat(24));
  assert.equal(bar(12, 10), "#".repeat(24));
  assert.equal(bar(5, 10), "#".repeat(12) + ".".repeat(12));
  assert.equal(bar(0, 0), ".".repeat(24));
});

Deno.test("a line without a note has no blank at its end; a long one is cut", () => {
  const line = { label: "a", done: 1, total: 2, secondsLeft: 1 };
  assert.match(formatProgress(line), /1\/2 0:01 left$/);
  assert.equal(formatProgress({ ...line, note: "n".repeat(200), columns: 79 }).length, 79);
});
