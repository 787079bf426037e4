/** Experts as matrices of their own against hand sums; and how those of one operator are laid. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { input, mul } from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { alternateRows, mixExperts } from "../../lib/model/experts.ts";
import { loadTarget } from "../../lib/model/load.ts";
import { assertClose } from "../tolerance.ts";

Deno.test("two of three experts are added by their shares", async () => {
  const backend = referenceBackend(), x = input("x", [2, 2]), scores = input("scores", [2, 3]);
  const y = mixExperts(scores, { chosen: 2, expert: (e) => mul(x, 10 ** e) });
  using run = await backend.compile(program({ y }));
  const out = await run.run({
    x: backend.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]),
    scores: backend.tensor(Float32Array.of(0, 1, 3, 2, -1, 2), [2, 3]),
  });
  // Row 0: experts 2 and 1; row 1: experts 0 and 2, at equal scores.
  const share = 1 / (1 + Math.exp(-2)), first = share * 100 + (1 - share) * 10, second = 0.5 * 101;
  assertClose(out.y.exact, [first, 2 * first, 3 * second, 4 * second], {
    ...{ what: "the mixture", shape: [2, 2], a: 1e-4 },
  });
});

Deno.test("rows of gate and of up are laid in turn, expert by expert", () => {
  // Two experts of 2 x 2 rows of two values: tens count rows.
  const w = Float32Array.from(
    [[10, 20, 30, 40], [50, 60, 70, 80]].flat().flatMap((r) => [r, r + 1]),
  );
  alternateRows(w, [2, 4, 2]);
  assert.deepEqual(
    [...w],
    [[10, 30, 20, 40], [50, 70, 60, 80]].flat().flatMap((r) => [r, r + 1]),
  );
});

Deno.test("in 8 bits each expert is a matrix of its own, and the target is nearly the same", async () => {
  const folder = "tests/golden/own/families/mixtral";
  using backend = await openOnnxBackend({ threads: 1 });
  using golden = openSafetensors(`${folder}/golden.safetensors`);
  const ids = golden.readInt("ids"), wanted = golden.readFloat32("logits");
  const target = await loadTarget(folder, { backend, bits: 8 });
  assert.ok("model.layers.1.block_sparse_moe.experts.3.w2.weight.packed" in target.weights);
  using decoder = new TargetDecoder(target, { backend });
  using cache = decoder.newCache();
  const { logits } = await decoder.forwardChain(ids, cache);
  // Where rounding lets a row choose another expert, its logits are others: most of them are near.
  const size = Math.max(...wanted.map(Math.abs)), v = target.config.vocabulary;
  const far = Array.from(ids).filter((_, row) =>
    wanted.subarray(row * v, (row + 1) * v).some((x, i) =>
      Math.abs(x - logits[row * v + i]) > 0.05 * size
    )
  );
  assert.ok(far.length <= 2, `${far.length} of ${ids.length} rows are far`);
});
