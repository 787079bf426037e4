/** Lines of a stream, however it is cut. */
import assert from "node:assert/strict";
import { TextLineStream } from "../../lib/bench/lines.ts";

Deno.test("lines are whole wherever the pieces end, the last one too", async () => {
  for (const pieces of [["a\nbc\n\nd"], ["a", "\nb", "c\n", "\nd"], ["a\nbc\n\nd\n"]]) {
    const lines = ReadableStream.from(pieces).pipeThrough(new TextLineStream());
    assert.deepEqual(await Array.fromAsync(lines), ["a", "bc", "", "d"]);
  }
});
