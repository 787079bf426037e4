/**
 * Which WebGPU is used: the runtime's own, or Dawn where the environment asks for it. With `GRIFFIN_WEBGPU=dawn` all
 * tests that need an adapter run on Dawn.
 */
import assert from "node:assert/strict";
import { openWebGpuBackend } from "../../../lib/backend/webgpu/backend.ts";
import { implementation } from "../../../lib/backend/webgpu/implementation.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { program } from "../../../lib/graph/program.ts";

const NAME = "GRIFFIN_WEBGPU", wanted = Deno.env.get(NAME);

async function withChoice(choice: string, check: () => Promise<void>): Promise<void> {
  Deno.env.set(NAME, choice);
  try {
    await check();
  } finally {
    if (wanted === undefined) Deno.env.delete(NAME);
    else Deno.env.set(NAME, wanted);
  }
}

Deno.test("the runtime's own WebGPU unless another is asked for, and one that is known", async () => {
  await withChoice("", async () => assert.equal(await implementation(), navigator.gpu));
  await withChoice("dusk", async () => {
    await assert.rejects(implementation(), /found GRIFFIN_WEBGPU=dusk, wanted dawn or nothing/);
    await assert.rejects(openWebGpuBackend(), /GRIFFIN_WEBGPU=dusk/);
  });
});

Deno.test({
  name: `a product on Dawn${wanted === "dawn" ? "" : ` (not asked for by ${NAME}=dawn)`}`,
  ignore: wanted !== "dawn",
  fn: async () => {
    assert.notEqual(await implementation(), navigator.gpu);
    using backend = await openWebGpuBackend();
    const x = backend.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]), input = ops.input("x", [2, 2]);
    using run = await backend.compile(program({ y: ops.matmul(input, input) }));
    assert.deepEqual([...await (await run.run({ x })).y.read()], [7, 10, 15, 22]);
  },
});
