/** Tests lib/bench/training.ts: the timed stack is a real training step, its FLOP count is right. */
import { equal, ok } from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import {
  griffinProgram,
  randomInputs,
  stackFlops,
  stackProgram,
  STACKS,
  stackShapes,
} from "../../lib/bench/training.ts";
import { isOp, sizeOf } from "../../lib/graph/node.ts";

Deno.test("FLOP of a step: three times the products of the forward", () => {
  const sizes = {
    ...STACKS[0],
    layers: 2,
    width: 8,
    heads: 2,
    inner: 12,
    vocabulary: 20,
    batch: 3,
  };
  const program = stackProgram({ ...sizes, length: 5 });
  // Every product of the program, from its operands; backward products come from the gradient table.
  let flops = 0;
  for (const n of program.order) {
    if (!isOp(n, "matmul")) continue;
    const [a] = n.inputs, inner = a.shape[a.shape.length - (n.attrs.transA ? 2 : 1)];
    flops += 2 * sizeOf(n.shape) * inner;
  }
  equal(flops, stackFlops({ ...sizes, length: 5 }));
});

Deno.test("repeated steps of the stack on one batch lower its loss", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const sizes = { layers: 1, width: 16, heads: 2, inner: 24, vocabulary: 40, batch: 2, length: 8 };
  const program = stackProgram(sizes), inputs = randomInputs(backend, program);
  (inputs.ids.host as Int32Array).forEach((id, i, ids) => ids[i] = id % sizes.vocabulary);
  inputs.schedule.host!.set([1e-2, 1, 1]);
  using executable = await backend.compile(program);
  const losses: number[] = [];
  for (let i = 0; i < 5; i++) losses.push((await executable.run(inputs)).loss.host![0]);
  ok(losses.every((l, i) => Number.isFinite(l) && (i === 0 || l < losses[i - 1])), String(losses));
});

Deno.test("the GRIFFIN step takes the published size's parameters and three passes", () => {
  const { inputs, outputs } = griffinProgram();
  equal(outputs.metrics.shape[0], 3 * 8);
  equal(String(inputs["fc.mlp.up_proj.weight"].shape), "1376,1024");
  equal(Object.keys(stackShapes(STACKS[3])).length, 6 * 9 + 2);
});
