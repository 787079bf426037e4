/**
 * EAGLE-3's passes beyond the golden set: which rows are trained and counted when the draft vocabulary lacks a
 * token, and that drafting reads what was trained. In float64 and fp32.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { linear } from "../../lib/model/llama.ts";
import { draftProgram } from "../../lib/model/draft.ts";
import { DRAFT_TOKENS } from "../../lib/model/eagle3.ts";
import { newCache, Rows } from "../../lib/model/placement.ts";
import { batchInputs, readMetrics } from "../../lib/train/passes.ts";
import { PRESETS } from "../../lib/train/presets.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { inputParts, passesOf, targetHead } from "../../lib/train/step.ts";
import { evaluator, integers, values } from "../graph/evaluate.ts";
import { times } from "../model/naive.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const T = 8,
  CONFIG = tinyDraftConfig(undefined, {
    fusion: "taps",
    head: "single",
    taps: [0, 1],
    draftVocabulary: 13,
  });
const DRAFT = tinyDraft(CONFIG), { width: D, vocabulary: V } = CONFIG;
const RECIPE = { ...DEFAULT_RECIPE, ...PRESETS.eagle3.recipe, passes: 2, alignK: 1 };
const GIVEN = {
  ...Object.fromEntries(
    Object.entries(DRAFT.parameters).map(([n, x]) => [n, Float64Array.from(x)]),
  ),
  "embed_tokens.weight": values([V, D], "embedding"),
  [targetHead(CONFIG)]: values([V, D], "head"),
  [DRAFT_TOKENS]: DRAFT.tokens!,
  ids: integers([1, T], "ids", { below: V }),
  mask: Float64Array.from({ length: T }, (_, t) => t === T - 1 ? 0 : 1),
  features: values([1, T, D], "features"),
  noisy: values([1, T, 2 * D], "tapped"),
};

Deno.test("rows whose most likely token is not drafted are not trained, and true tokens outside are misses", async () => {
  const parts = inputParts(CONFIG);
  const passes = passesOf(parts, batchInputs({ batch: 1, length: T }, { config: CONFIG }), RECIPE);
  const outputs = passes.flatMap((p, i) => [
    [`mask${i}`, p.mask],
    [`metrics${i}`, p.metrics],
    [`logits${i}`, linear(p.predict, parts.weight("lm_head.weight"))],
  ]);
  const found = await (await evaluator(Object.fromEntries(outputs)))(GIVEN);
  const tokens = Array.from(DRAFT.tokens!), size = tokens.length;
  const kept = Array.from({ length: T }, (_, t) => {
    if (t + 1 >= T) return 0;
    const goal = GIVEN.features.slice((t + 1) * D, (t + 2) * D);
    const logits = times(GIVEN[targetHead(CONFIG)] as Float64Array, goal);
    return tokens.includes(logits.indexOf(Math.max(...logits))) ? 1 : 0;
  });
  assert.ok(kept.slice(0, -1).includes(0) && kept.includes(1), "the example shows nothing");
  assert.deepEqual([...found.mask0], kept);
  assert.deepEqual([...found.mask1], [...kept.slice(1), 0]);

  for (const pass of [0, 1]) {
    let hits = 0, rows = 0;
    for (let t = 0; t + pass < T - 1; t++) {
      const truth = t + pass + 1 < T ? GIVEN.ids[t + pass + 1] : 0, own = tokens.indexOf(truth);
      const logits = found[`logits${pass}`].slice(t * size, (t + 1) * size);
      rows++;
      if (own >= 0 && logits.every((x) => x <= logits[own])) hits++;
    }
    const [metrics] = readMetrics(found[`metrics${pass}`]);
    assert.ok(
      Math.abs(metrics.top1 - hits / (rows + 1e-5)) < 1e-9,
      `pass ${pass + 1}: ${metrics.top1}`,
    );
    assert.ok(Math.abs(metrics.top1 + metrics.misaligned - rows / (rows + 1e-5)) < 1e-9);
  }
});

Deno.test("drafting from the target's features gives the logits of the first pass", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const parts = inputParts(CONFIG), shape = { batch: 1, length: T }, k = 5;
  const [pass] = passesOf(parts, batchInputs(shape, { config: CONFIG }), { ...RECIPE, passes: 1 });
  const logits = linear(pass.predict, parts.weight("lm_head.weight"));
  const wanted = await (await evaluator({ logits, regress: pass.regress }))(GIVEN);

  const capacity = 32, options = { rows: T, capacity, width: k, reads: "target" as const };
  const drafting = draftProgram(CONFIG, options), rows = new Rows(backend, T, capacity);
  rows.placeChain(GIVEN.ids as Int32Array, 0);
  using cache = newCache(backend, CONFIG, { capacity, layers: 1 });
  const given = Object.fromEntries(
    Object.entries(drafting.inputs).filter(([name]) =>
      name in GIVEN && name !== "ids" && name !== "features"
    ).map((
      [name, n],
    ) => {
      const data = GIVEN[name as keyof typeof GIVEN];
      return [
        name,
        backend.tensor(data instanceof Float64Array ? Float32Array.from(data) : data, n.shape),
      ];
    }),
  );
  using run = await backend.compile(drafting);
  const features = backend.tensor(Float32Array.from(GIVEN.noisy), [T, 2 * D]);
  const out = await run.run({ ...given, ...rows.inputs, ...cache.tensors, features });
  assertClose(out.regress.host as Float32Array, [...wanted.regress], {
    what: "regress",
    shape: [T, D],
    a: 1e-4,
  });
  const size = DRAFT.tokens!.length;
  for (let t = 0; t < T; t++) {
    const row = Array.from(wanted.logits.slice(t * size, (t + 1) * size));
    const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, k);
    const found = Array.from(out.tokens.host!.slice(t * k, (t + 1) * k));
    assert.deepEqual(
      found,
      order.map((i) => DRAFT.tokens![i]),
      `row ${t}, in the target's numbering`,
    );
  }
});
