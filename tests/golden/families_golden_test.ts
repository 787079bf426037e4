/**
 * Every family of targets against Hugging Face transformers (`make/families.py`): the saved folder loads as it is, and
 * logits, features and the cached continuation are the same, through ONNX Runtime and on a device.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { generate } from "../../lib/decode/generate.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { record } from "../../lib/eval/run.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { FAMILIES } from "../../lib/model/families.ts";
import { loadTarget } from "../../lib/model/load.ts";
import { testOnWebGpu } from "../adapter.ts";
import { relative } from "./sets.ts";

const ROOM = join(import.meta.dirname!, "own/families");
const NEAR = 1e-4;

async function check(name: string, backend: Backend): Promise<string> {
  const folder = join(ROOM, name), target = await loadTarget(folder, { backend });
  using golden = openSafetensors(join(folder, "golden.safetensors"));
  const ids = Int32Array.from(golden.readInt("ids"));
  using decoder = new TargetDecoder(target, { backend });
  {
    using cache = decoder.newCache();
    const { logits, features } = await decoder.forwardChain(ids, cache);
    for (const [what, found] of Object.entries({ logits, features })) {
      const error = relative(found, golden.readFloat32(what));
      assert.ok(error < NEAR, `${what} of ${name} on ${backend.name} are off by ${error}`);
    }
  }
  const wanted = Array.from(golden.readInt("continuation")), prompt = ids.subarray(0, 9);
  // The end token has no meaning to random weights, and transformers was told to go on.
  target.config.eos.length = 0;
  const { tokens } = await record(generate(decoder, prompt, { maxTokens: wanted.length }));
  assert.deepEqual(Array.from(tokens), wanted, `the continuation of ${name} on ${backend.name}`);
  return target.config.family;
}

const names = readdirSync(ROOM).sort();

Deno.test("every family has a golden set, and is what transformers computes", async () => {
  using backend = await openOnnxBackend();
  const seen = new Set<string>();
  for (const name of names) seen.add(await check(name, backend));
  assert.deepEqual([...seen].sort(), Object.values(FAMILIES).map((f) => f.name).sort());
});

testOnWebGpu("every family is what transformers computes", async (backend) => {
  for (const name of names) await check(name, backend);
});
