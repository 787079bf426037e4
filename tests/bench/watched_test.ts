/** A watched process: its output, its time, its peak of memory; and one that fails. */
import assert from "node:assert/strict";
import { watchDeno } from "../../lib/bench/watched.ts";

Deno.test("a process is watched: what it wrote, how long it took, the memory it took for a moment", async () => {
  const code = "const a = new Uint8Array(4e8).fill(1); console.log(a[7]); " +
    "await new Promise((r) => setTimeout(r, 400))";
  const { seconds, peakBytes, stdout } = await watchDeno(["eval", code]);
  assert.equal(stdout, "1\n");
  assert.ok(seconds > 0.4 && seconds < 60);
  if (Deno.build.os === "linux") assert.ok(peakBytes > 4e8 && peakBytes < 2e9, `${peakBytes}`);
});

Deno.test("a process that fails is told", async () => {
  await assert.rejects(
    watchDeno(["eval", "Deno.exit(3)"]),
    /Cannot go on: deno eval .* ended with 3/,
  );
});
