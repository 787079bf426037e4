/**
 * Every family of targets against Hugging Face transformers (`make/families.py`; in the published form of its files:
 * `make/published_families.py`): the folder loads as it is, and logits, features and the cached continuation are the
 * same, through ONNX Runtime and on a device.
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
import { loadTarget, type Target } from "../../lib/model/load.ts";
import { testOnWebGpu } from "../adapter.ts";
import { relative } from "./sets.ts";

const ROOM = join(import.meta.dirname!, "own/families");
const NEAR = 1e-4;
/** Rows of a forward. */
const CHUNK = 64;

const load = (name: string, backend: Backend) => loadTarget(join(ROOM, name), { backend });

/** Largest relative errors of all logits and features, and the continuations found and wanted. */
async function compare(name: string, target: Target, backend: Backend) {
  using golden = openSafetensors(join(ROOM, name, "golden.safetensors"));
  const ids = Int32Array.from(golden.readInt("ids"));
  using decoder = new TargetDecoder(target, { backend });
  const logits: number[] = [], features: number[] = [];
  {
    using cache = decoder.newCache();
    for (let at = 0; at < ids.length; at += CHUNK) {
      const rows = await decoder.forwardChain(ids.subarray(at, at + CHUNK), cache);
      logits.push(...rows.logits);
      features.push(...rows.features);
    }
  }
  const wanted = Array.from(golden.readInt("continuation"));
  // The end token has no meaning to random weights, and transformers was told to go on.
  target.config.eos.length = 0;
  const prompt = ids.subarray(0, Math.floor(ids.length * 3 / 8));
  const { tokens } = await record(generate(decoder, prompt, { maxTokens: wanted.length }));
  return {
    errors: {
      logits: relative(logits, golden.readFloat32("logits")),
      features: relative(features, golden.readFloat32("features")),
    },
    found: Array.from(tokens),
    wanted,
  };
}

async function check(name: string, backend: Backend): Promise<string> {
  const target = await load(name, backend);
  const { errors, found, wanted } = await compare(name, target, backend);
  for (const [what, error] of Object.entries(errors)) {
    assert.ok(error < NEAR, `${what} of ${name} on ${backend.name} are off by ${error}`);
  }
  assert.deepEqual(found, wanted, `the continuation of ${name} on ${backend.name}`);
  return target.config.family;
}

const names = readdirSync(ROOM).sort();

Deno.test("every family has a golden set, and is what transformers computes", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const seen = new Set<string>();
  for (const name of names) seen.add(await check(name, backend));
  assert.deepEqual([...seen].sort(), Object.values(FAMILIES).map((f) => f.name).sort());
});

Deno.test("golden sets tell angles that are not stretched", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const stretched: string[] = [];
  for (const name of names) {
    const { config, ...target } = await load(name, backend), { ropeScaling, ...others } = config;
    if (ropeScaling === undefined || ropeScaling.type === "dynamic") continue;
    const { errors } = await compare(name, { config: others, ...target }, backend);
    assert.ok(errors.logits > 10 * NEAR, `${name} without its scaling is off by ${errors.logits}`);
    stretched.push(ropeScaling.type);
  }
  assert.deepEqual([...new Set(stretched)].sort(), ["linear", "llama3", "longrope", "yarn"]);
});

/** One a graph: the rest are other numbers in the same. */
const ON_DEVICE = [
  "llama-2",
  "llama-3.2",
  "llama-bias",
  "mistral-window",
  "mixtral",
  "qwen2",
  "qwen3",
];

testOnWebGpu("every graph of a family is what transformers computes", async (backend) => {
  for (const name of ON_DEVICE) await check(name, backend);
});
