/**
 * The draft: numbers of parameters, its Program against plain float64 loops for GRIFFIN and the baselines,
 * chunks against whole texts, and the error that 8-bit matrices make.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { countParameters, draftProgram, draftShapes } from "../../lib/model/draft.ts";
import { placeDraft } from "../../lib/model/load.ts";
import { newCache, Rows } from "../../lib/model/placement.ts";
import { random } from "../../lib/random.ts";
import { assertClose } from "../tolerance.ts";
import { logSoftmax, naiveDraft, times } from "./naive.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "./tiny.ts";
import type { Bits } from "../../lib/model/quantize.ts";

const LLAMA: DraftConfig = {
  width: 4096,
  inner: 11008,
  heads: 32,
  kvHeads: 32,
  headSize: 128,
  vocabulary: 32000,
  positions: 2048,
  epsilon: 1e-6,
  ropeTheta: 10000,
  fusion: "tgf",
  head: "dual",
};

Deno.test("the paper's numbers of parameters come out, in millions", () => {
  const large = { ...LLAMA, width: 5120, inner: 13824, heads: 40, kvHeads: 40 };
  assert.equal(Math.round(countParameters(LLAMA) / 1e6), 416);
  assert.equal(Math.round(countParameters(large) / 1e6), 653);
});

Deno.test("parts switched off take their parameters along", () => {
  const d = LLAMA.width, inner = LLAMA.inner;
  const plain = { ...LLAMA, fusion: "linear", head: "single" } as const;
  // W_fc with its bias, four square matrices, the MLP, one norm: the draft of EAGLE-2.
  assert.equal(countParameters(plain), 2 * d * d + d + 4 * d * d + 3 * d * inner + d);
  assert.equal(
    countParameters(LLAMA) - countParameters({ ...LLAMA, head: "single" }),
    d * inner,
  );
  assert.equal(
    countParameters(LLAMA) - countParameters({ ...LLAMA, fusion: "linear" }),
    3 * d * inner + 2 * d,
  );
  assert.ok(!("embed_tokens.weight" in draftShapes(LLAMA)), "the embedding is the target's");
});

const IDS = [5, 17, 5, 0, 23, 11, 8], CAPACITY = 16, WIDTH = 4;

/** Outputs of the Program, the text read in chunks of the given sizes. */
async function draftRows(
  config: DraftConfig,
  { backend, sizes, features, bits = 32 }: {
    backend: Backend;
    sizes: number[];
    features: Float32Array;
    bits?: Bits;
  },
) {
  const weights = placeDraft(tinyDraft(config), { backend, target: tinyTarget(backend), bits });
  using cache = newCache(backend, config, { capacity: CAPACITY, layers: 1 });
  const tokens: number[] = [], logProbabilities: number[] = [], regress: number[] = [];
  for (const rows of sizes) {
    const at = cache.length, d = config.width;
    using run = await backend.compile(
      draftProgram(config, { rows, capacity: CAPACITY, width: WIDTH, stored: weights }),
      { weights },
    );
    using placed = new Rows(backend, rows, CAPACITY);
    placed.placeChain(IDS.slice(at, at + rows), at);
    const part = backend.tensor(features.slice(at * d, (at + rows) * d), [rows, d]);
    const out = await run.run({ ...placed.inputs, features: part, ...cache.tensors });
    cache.length += rows;
    tokens.push(...out.tokens.host!);
    logProbabilities.push(...out.logProbabilities.host!);
    regress.push(...out.regress.host!);
  }
  return { tokens, logProbabilities, regress };
}

function someFeatures(width: number): Float32Array {
  const from = random(3, "features");
  return Float32Array.from({ length: IDS.length * width }, () => from.normal());
}

/** What the loops say: best tokens with their log-probabilities, and regress. */
function expected(config: DraftConfig, features: Float32Array) {
  const target = tinyTarget(referenceBackend()), { parameters } = tinyDraft(config);
  const host = (name: string) => target.weights[name].host as Float32Array;
  const shared = { "embed_tokens.weight": host("model.embed_tokens.weight") };
  const all: Record<string, Float32Array> = { ...parameters, ...shared };
  const rows = IDS.map((id, t) => ({
    id,
    feature: features.subarray(t * config.width, (t + 1) * config.width),
  }));
  const results = naiveDraft(config, (name) => all[name], rows);
  const top = results.map(({ predict }) => {
    const logs = logSoftmax(times(host("lm_head.weight"), predict));
    const tokens = [...logs.keys()].sort((a, b) => logs[b] - logs[a]).slice(0, WIDTH);
    return { tokens, logs: tokens.map((t) => logs[t]) };
  });
  return {
    tokens: top.flatMap((t) => t.tokens),
    logProbabilities: top.flatMap((t) => t.logs),
    regress: results.flatMap((r) => r.regress),
  };
}

function assertSame(
  found: Awaited<ReturnType<typeof draftRows>>,
  wanted: ReturnType<typeof expected>,
  what: string,
): void {
  assert.deepEqual(found.tokens, wanted.tokens, `${what}: tokens`);
  for (const key of ["logProbabilities", "regress"] as const) {
    const shape = [IDS.length, wanted[key].length / IDS.length];
    assertClose(found[key], wanted[key], { what: `${what}: ${key}`, shape, a: 2e-5 });
  }
}

const BACKENDS: [string, () => Backend | Promise<Backend>][] = [
  ["reference", referenceBackend],
  ["onnx", () => openOnnxBackend({ threads: 1 })],
];

for (const [name, open] of BACKENDS) {
  for (const fusion of ["tgf", "linear"] as const) {
    for (const head of ["dual", "single"] as const) {
      Deno.test(`${name}: draft with ${fusion} fusion and ${head} head`, async () => {
        using backend = await open();
        const config = tinyDraftConfig(undefined, { fusion, head });
        const features = someFeatures(config.width), wanted = expected(config, features);
        for (const sizes of [[7], [4, 3], [1, 1, 1, 1, 1, 1, 1]]) {
          const found = await draftRows(config, { backend, sizes, features });
          assertSame(found, wanted, `chunks of ${sizes}`);
        }
      });
    }
  }
}

Deno.test("8-bit matrices move what is drafted by no more than their rounding", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const config = tinyDraftConfig(), features = someFeatures(config.width);
  const exact = expected(config, features), sizes = [7];
  const found = await draftRows(config, { backend, sizes, features, bits: 8 });
  const apart = (a: number[], b: number[]) =>
    Math.hypot(...a.map((x, i) => x - b[i])) / Math.hypot(...b);
  // Half a step of 1/127 of its block's largest for each weight; ONNX Runtime rounds activations as well.
  const reference = referenceBackend();
  const weightsOnly = await draftRows(config, {
    backend: reference,
    sizes,
    features,
    bits: 8,
  });
  const errors = [weightsOnly, found].map((rows) => apart(rows.regress, exact.regress));
  assert.ok(errors[0] > 1e-4 && errors[0] < 0.01, `weights: ${errors[0]}`);
  assert.ok(errors[1] > 1e-4 && errors[1] < 0.02, `weights and activations: ${errors[1]}`);
});
