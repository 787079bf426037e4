/** Frozen matrices in f16 are half as large, and a step really needs less memory with them. */
import assert from "node:assert/strict";
import type { FrozenRow } from "../../lib/bench/frozen.ts";
import { ROOT, runTask } from "../cli/tasks.ts";

async function measured(measure: string): Promise<FrozenRow> {
  const args = ["frozen", "--measure", measure, "--json"];
  const { code, stdout, stderr } = await runTask(ROOT, { task: "bench", args });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).row;
}

Deno.test("bytes held are halved", async () => {
  const full = await measured("f32,V 4096, D 512, tied"),
    half = await measured("f16,V 4096, D 512, tied");
  assert.deepEqual([full.heldBytes, half.heldBytes], [4 * 4096 * 512, 2 * 4096 * 512]);
  assert.ok(full.peakBytes > 1e8 && half.peakBytes > 1e8);
  assert.ok(full.ms > 0 && half.ms > 0);
});

Deno.test("a size that is not known is named", async () => {
  const args = ["frozen", "--measure", "f16,V 1", "--json"];
  const { code, stderr } = await runTask(ROOT, { task: "bench", args });
  assert.equal(code, 1);
  assert.match(stderr, /Cannot measure V 1: wanted V 4096, D 512, tied or V 32000, D 1024/);
});
