/**
 * The target's Program against plain float64 loops: whole prompts, chunks, single tokens, chains and trees,
 * tied and untied heads, a sliding window, sequences side by side. On the reference backend and through ONNX Runtime.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { ancestorMask, depthsOf } from "../../lib/decode/ancestry.ts";
import type { TargetConfig } from "../../lib/model/config.ts";
import { targetMatrices, targetProgram, targetShapes } from "../../lib/model/llama.ts";
import { type Cache, newBatchCache, newCache, Rows } from "../../lib/model/placement.ts";
import { type Bits, dequantize, quantBlock, quantize } from "../../lib/model/quantize.ts";
import { assertClose } from "../tolerance.ts";
import { naiveTarget } from "./naive.ts";
import { TINY, tinyTarget, tinyWeights } from "./tiny.ts";

/** In one layer of two a row sees three positions: fewer than the trees below are deep. */
const SLIDING: TargetConfig = { ...TINY, window: { size: 3, layers: [1] } };
const CAPACITY = 24, IDS = [3, 17, 0, 23, 9, 9, 14, 2, 5];

interface Found {
  logits: Float32Array;
  features: Float32Array;
}

/** Runs rows placed by `place` over a cache. */
async function forward(
  { backend, config, cache, bits = 32 }: {
    backend: Backend;
    config: TargetConfig;
    cache: Cache;
    bits?: Bits;
  },
  rows: number,
  place: (rows: Rows) => void,
): Promise<Found> {
  const { weights } = tinyTarget(backend, { ...config, bits });
  const program = targetProgram(config, { rows, capacity: CAPACITY, stored: weights });
  using run = await backend.compile(program, { weights });
  using placed = new Rows(backend, rows, CAPACITY);
  place(placed);
  const out = await run.run({ ...placed.inputs, ...cache.tensors });
  return {
    logits: (out.logits.host as Float32Array).slice(),
    features: (out.features.host as Float32Array).slice(),
  };
}

function expected(config: TargetConfig, ids: readonly number[]) {
  const weights = tinyWeights(config);
  return naiveTarget(config, (name) => weights[name], ids);
}

function assertRows(what: string, found: Found, wanted: ReturnType<typeof expected>): void {
  for (const key of ["logits", "features"] as const) {
    const rows = wanted[key];
    assertClose(found[key], rows.flat(), {
      what: `${what}: ${key}`,
      shape: [rows.length, rows[0].length],
      a: 2e-5,
    });
  }
}

const BACKENDS: [string, () => Backend | Promise<Backend>][] = [
  ["reference", referenceBackend],
  ["onnx", () => openOnnxBackend({ threads: 1 })],
];

for (const [name, open] of BACKENDS) {
  for (
    const changes of [{}, { tied: true }, { kvHeads: 4 }, { kvHeads: 1 }, {
      window: SLIDING.window,
    }]
  ) {
    const config: TargetConfig = { ...TINY, ...changes };
    Deno.test(`${name}: a prompt as the equations have it ${JSON.stringify(changes)}`, async () => {
      using backend = await open();
      using cache = newCache(backend, config, { capacity: CAPACITY, layers: config.layers });
      const found = await forward(
        { backend, config, cache },
        IDS.length,
        (rows) => rows.placeChain(IDS, 0),
      );
      assertRows("whole prompt", found, expected(config, IDS));
      assert.equal("lm_head.weight" in targetShapes(config), !config.tied);
    });
  }

  for (const [kind, config] of [["all", TINY], ["window", SLIDING]] as const) {
    Deno.test(`${name}, ${kind}: chunks, single tokens and padded chunks are the whole prompt`, async () => {
      using backend = await open();
      const all = expected(config, IDS);
      const ways: [number[], number][] = [[[4, 5], 0], [[1, 1, 1, 1, 1, 1, 1, 1, 1], 0], [
        [5, 4],
        3,
      ]];
      for (const [sizes, padding] of ways) {
        using cache = newCache(backend, config, { capacity: CAPACITY, layers: config.layers });
        for (const size of sizes) {
          const at = cache.length, chunk = IDS.slice(at, at + size);
          const found = await forward(
            { backend, config, cache },
            size + padding,
            (rows) => rows.placeChain(chunk, at),
          );
          cache.length += size;
          assertRows(`rows ${at} to ${at + size} of ${sizes}`, {
            logits: found.logits.subarray(0, size * config.vocabulary),
            features: found.features.subarray(0, size * config.width),
          }, {
            logits: all.logits.slice(at, at + size),
            features: all.features.slice(at, at + size),
          });
        }
      }
    });

    Deno.test(`${name}, ${kind}: each node of a tree is the end of its path`, async () => {
      using backend = await open();
      const prompt = IDS.slice(0, 4), tokens = [9, 1, 2, 3, 1, 2, 20];
      // A chain is the tree whose parents are 0, 1, 2, ...
      for (const parents of [[-1, 0, 1, 2, 3, 4, 5], [-1, 0, 0, 1, 1, 2, 4]]) {
        using cache = newCache(backend, config, { capacity: CAPACITY, layers: config.layers });
        await forward({ backend, config, cache }, 4, (rows) => rows.placeChain(prompt, 0));
        cache.length = 4;
        const tree = Int32Array.from(parents), mask = ancestorMask(tree), n = tokens.length;
        // Two rows of padding, which nobody sees.
        const found = await forward(
          { backend, config, cache },
          n + 2,
          (rows) =>
            rows.placeTree(tokens, {
              prefix: 4,
              base: 4,
              depths: depthsOf(tree),
              sees: (row, column) => column < n && mask[row * n + column] === 1,
            }),
        );
        const { vocabulary, width } = config;
        for (let node = 0; node < n; node++) {
          const path: number[] = [];
          for (let i = node; i >= 0; i = parents[i]) path.unshift(tokens[i]);
          const { logits, features } = expected(config, [...prompt, ...path]);
          assertRows(`node ${node} of ${parents}`, {
            logits: found.logits.subarray(node * vocabulary, (node + 1) * vocabulary),
            features: found.features.subarray(node * width, (node + 1) * width),
          }, { logits: logits.slice(-1), features: features.slice(-1) });
        }
      }
    });

    Deno.test(`${name}, ${kind}: sequences side by side do not see each other`, async () => {
      using backend = await open();
      const texts = [IDS, [1, 1, 2, 3, 5, 8, 13, 21, 10]], rows = 3, batch = 2;
      const { tensors, slots } = newBatchCache(backend, config, {
        capacity: CAPACITY,
        layers: config.layers,
        batch,
      });
      using run = await backend.compile(
        targetProgram(config, { rows, capacity: CAPACITY, batch }),
        {
          weights: tinyTarget(backend, config).weights,
        },
      );
      const wanted = texts.map((ids) => expected(config, ids));
      // The second sequence is one chunk ahead of the first after the first run.
      const starts = [[0, 0], [0, 3], [3, 6], [6, 6]];
      for (const at of starts) {
        const ids = at.flatMap((from, b) => texts[b].slice(from, from + rows));
        const positions = at.flatMap((from) => [from, from + 1, from + 2]);
        const out = await run.run({
          ids: backend.tensor(Int32Array.from(ids), [batch, rows]),
          positions: backend.tensor(Int32Array.from(positions), [batch, rows]),
          length: backend.tensor(Int32Array.from(at), [batch]),
          bias: backend.tensor(new Float32Array(rows * CAPACITY), [1, 1, rows, CAPACITY]),
          ...tensors,
        });
        assertRows(
          `sequences at ${at}`,
          { logits: out.logits.host as Float32Array, features: out.features.host as Float32Array },
          {
            logits: at.flatMap((from, b) => wanted[b].logits.slice(from, from + rows)),
            features: at.flatMap((from, b) => wanted[b].features.slice(from, from + rows)),
          },
        );
      }
      assert.equal(slots.length, batch);
    });
  }
}

/** How far rows are apart, as a share of their length. */
const apart = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.hypot(...Array.from(a, (x, i) => x - b[i])) / Math.hypot(...Array.from(b));

for (const tied of [false, true]) {
  Deno.test(`8-bit matrices are the equations with rounded weights, tied ${tied}`, async () => {
    const config: TargetConfig = { ...TINY, tied }, weights = tinyWeights(config);
    const matrices = targetMatrices(config), block = quantBlock(matrices);
    // The naive loops gather from the embedding and multiply by it if tied: they get the head apart.
    weights["lm_head.weight"] ??= weights["model.embed_tokens.weight"];
    for (const name of Object.keys(matrices)) {
      weights[name] = dequantize(quantize(weights[name], block));
    }
    const wanted = naiveTarget({ ...config, tied: false }, (name) => weights[name], IDS);
    const run = async (backend: Backend) => {
      using cache = newCache(backend, config, { capacity: CAPACITY, layers: config.layers });
      const settings = { backend, config, cache, bits: 8 as const };
      return await forward(settings, IDS.length, (rows) => rows.placeChain(IDS, 0));
    };
    const reference = await run(referenceBackend());
    assertRows("float64 expansion", reference, wanted);
    using onnx = await openOnnxBackend({ threads: 1 });
    const native = await run(onnx), exact = expected(config, IDS);
    // As of the draft: half a step of 1/127 of its block's largest for each weight, and for each activation.
    for (const key of ["logits", "features"] as const) {
      const weightsOnly = apart(wanted[key].flat(), exact[key].flat());
      const activations = apart(native[key], reference[key]);
      assert.ok(weightsOnly > 1e-4 && weightsOnly < 0.01, `${key}, weights: ${weightsOnly}`);
      assert.ok(activations > 1e-4 && activations < 0.02, `${key}, activations: ${activations}`);
    }
  });
}
