/** The sources of features that are timed run, and their sizes and errors are right; times are not looked at. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { eagleTaps, featureSources } from "../../lib/bench/features.ts";
import { tinyTarget } from "../model/tiny.ts";

Deno.test("each source is timed and weighed, and nothing is left behind", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend, { positions: 192 });
  const rows = await featureSources(target, { backend, count: 3, rounds: 1, taps: [0, 1] });
  assert.equal(rows.length, 5);
  const [halves, bytes, ...computed] = rows;
  // Three rows of 32 values, in 2 bytes or in 1 with a scale each; 5 bytes of id and mask.
  assert.deepEqual([halves.bytesPerToken, bytes.bytesPerToken], [3 * 64 + 5, 3 * 36 + 5]);
  for (const key of ["featureError", "tappedError"] as const) {
    assert.ok(halves[key] > 0 && halves[key] < 2 ** -11, `${key} ${halves[key]}`);
    assert.ok(bytes[key] > 2 ** -11 && bytes[key] < 0.02, `${key} ${bytes[key]}`);
    assert.ok(computed.every((row) => row[key] === 0 && row.tokensPerSecond > 0));
  }
  assert.deepEqual(readdirSync(tmpdir()).filter((n) => n.startsWith("features-")), []);
});

Deno.test("the layers that EAGLE-3 reads", () => {
  assert.deepEqual(eagleTaps(32), [2, 16, 29]);
  assert.deepEqual(eagleTaps(8), [2, 4, 5]);
  assert.deepEqual(eagleTaps(1), [0]);
});
