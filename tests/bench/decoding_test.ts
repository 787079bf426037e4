/** Tests lib/bench/decoding.ts: every timed forward runs and gives finite numbers of the right shape. */
import { deepEqual, ok } from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { Params } from "../../lib/backend/backend.ts";
import { draftForwards, targetForwards } from "../../lib/bench/decoding.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

Deno.test("target and draft forwards of every size run", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend, { positions: 600 });
  const draft = tinyDraft(tinyDraftConfig(target.config));
  const { config: { vocabulary } } = target;
  const rounded = tinyTarget(backend, { positions: 600, bits: 8 });
  for (const [bits, timed] of [[32, target], [8, rounded]] as const) {
    const rows: number[] = [];
    for (const { name, run } of await targetForwards(timed, { backend })) {
      const { logits } = await run() as Params;
      ok((logits.host as Float32Array).every(Number.isFinite));
      deepEqual(logits.shape[1], vocabulary);
      deepEqual(name, `target in ${bits} bits, ${logits.shape[0]} rows`);
      rows.push(logits.shape[0]);
    }
    deepEqual(rows, [1, 2, 4, 8, 16, 32, 64]);
  }
  for (const { run } of await draftForwards(draft, { backend, target })) {
    const { regress } = await run() as Params;
    ok((regress.host as Float32Array).every(Number.isFinite));
  }
});
