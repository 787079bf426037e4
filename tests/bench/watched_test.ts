/** A watched process: its output, its time, its peak of memory; and one that fails. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { watchDeno } from "../../lib/bench/watched.ts";

async function watchCode(code: string) {
  const folder = await Deno.makeTempDir(), file = join(folder, "watched.ts");
  try {
    await Deno.writeTextFile(file, code);
    return await watchDeno(["run", "-A", "--quiet", "--no-check", file]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a process is watched: what it wrote, how long it took, memory that it had for a moment", async () => {
  const { seconds, peakBytes, stdout } = await watchCode(`
    let a = new Uint8Array(4e8).fill(1);
    console.log(a[7]);
    a.buffer.transfer(0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    Deno.exit(0);
  `);
  assert.equal(stdout, "1\n");
  assert.ok(seconds > 0.3 && seconds < 60);
  assert.ok(peakBytes > 4e8 && peakBytes < 2e9, `${peakBytes}`);
});

Deno.test("a process that fails is told", async () => {
  await assert.rejects(watchCode("Deno.exit(3)"), /Cannot go on: deno run .* ended with 3/);
});
