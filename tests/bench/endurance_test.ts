/** Decoding for long: rows come at their places, plain and speculative, and an aborted run stops. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { type EnduranceRow, endure } from "../../lib/bench/endurance.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { tinyDraft, tinyTarget } from "../model/tiny.ts";

async function rowsOf(events: AsyncIterable<EnduranceRow>): Promise<EnduranceRow[]> {
  const rows: EnduranceRow[] = [];
  for await (const row of events) rows.push(row);
  return rows;
}

Deno.test("rows come every so many tokens, the first after the first prompt", async () => {
  using backend = await openOnnxBackend();
  using target = new TargetDecoder(tinyTarget(backend), { backend });
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 4 });
  using drafter = new TreeDrafter(tinyDraft(), { backend, target: target.target, growth });
  const prompts = [Int32Array.of(1, 2, 3), Int32Array.of(4, 5)];
  for (const by of [{}, { drafter }]) {
    const settings = { prompts, ...by, total: 200, every: 50, maxTokens: 10 };
    const rows = await rowsOf(endure(target, settings));
    assert.ok(rows[0].tokens <= 10 && rows.at(-1)!.tokens >= 200, JSON.stringify(rows));
    const passed = rows.map(({ tokens }) => Math.floor(tokens / 50));
    assert.deepEqual(passed, [0, 1, 2, 3, 4]);
    assert.ok(rows.every(({ resident, heap }) => resident > heap && heap > 1e6));
  }
  const aborted = endure(target, {
    prompts,
    total: 200,
    every: 50,
    maxTokens: 10,
    signal: AbortSignal.abort(),
  });
  assert.deepEqual(await rowsOf(aborted), []);
  await assert.rejects(
    () => rowsOf(endure(target, { prompts: [], total: 1, every: 1, maxTokens: 2 })),
    /Cannot decode for long without a prompt/,
  );
});
