/**
 * The promise of losslessness on the shipped target, in f32: greedy text is plain decoding's on 200 prompts, by every
 * kind of proposer, untrained drafts too; where rounding decides, it must be a tie within rounding.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { loadSuite } from "../../lib/data/suites.ts";
import { type Drafter, NO_DRAFTER } from "../../lib/decode/drafter.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { chainGrowth, dynamicGrowth, staticGrowth } from "../../lib/decode/growth.ts";
import { promptLookup } from "../../lib/decode/prompt_lookup.ts";
import { STATIC_TREES } from "../../lib/decode/static_trees.ts";
import { sizesUpTo, TargetDecoder } from "../../lib/decode/target.ts";
import type { Growth } from "../../lib/decode/tree.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { autoGrowth } from "../../lib/decode/tree_size.ts";
import { record } from "../../lib/eval/run.ts";
import { type Draft, loadTarget, readDraft } from "../../lib/model/load.ts";
import { encodePrompt } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { costsOf } from "./sized_world.ts";

const PROMPTS = 200, TOKENS = 12;
/** Logits of a tree and of a chain differ by rounding: sums are taken in another order. */
const ROUNDING = 1e-4;

Deno.test(`greedy text is plain decoding's on ${PROMPTS} prompts, whoever proposes`, async () => {
  using backend = await openOnnxBackend();
  const loaded = await loadTarget("data/target", { backend });
  const tokenizer = await loadTokenizer("data/target");
  using target = new TargetDecoder(loaded, { backend });
  await target.prepare(sizesUpTo(target.largestTree));
  const trained = await readDraft("data/draft", { target: loaded });
  const untrained = initialDraft(trained.config, { seed: 1 });
  const by = (draft: Draft, growth: Growth) =>
    new TreeDrafter(draft, { backend, target: loaded, growth });
  const drafters: Record<string, Drafter> = {
    "1 node": NO_DRAFTER,
    "2 nodes": by(trained, dynamicGrowth({ depth: 1, width: 1, budget: 2 })),
    "8 nodes": by(trained, dynamicGrowth({ depth: 6, width: 2, budget: 8 })),
    "27 nodes": by(trained, dynamicGrowth({ depth: 4, width: 6, budget: 27 })),
    "64 nodes": by(trained, dynamicGrowth({ depth: 6, width: 10, budget: 64 })),
    "sized by costs": by(trained, autoGrowth(costsOf({ slope: 0.05, pass: 0.1 }))),
    chain: by(trained, chainGrowth(5)),
    static: by(trained, staticGrowth(STATIC_TREES.eagle1)),
    "untrained, 20 nodes": by(untrained, dynamicGrowth({ depth: 3, width: 5, budget: 20 })),
    "untrained chain": by(untrained, chainGrowth(3)),
    "prompt lookup": promptLookup(),
  };
  const names = Object.keys(drafters), accepted = new Map(names.map((name) => [name, 0]));
  const { questions } = await loadSuite("ours", { count: PROMPTS });
  let ties = 0;
  for (const [i, { text }] of questions.entries()) {
    const prompt = encodePrompt(tokenizer, [{ role: "user", content: text }]);
    const plain = await record(generate(target, prompt, { maxTokens: TOKENS }));
    // Every proposer gets its share of the prompts.
    const name = names[i % names.length], drafter = drafters[name];
    const fast = await record(speculate(target, prompt, { drafter, maxTokens: TOKENS }));
    accepted.set(name, accepted.get(name)! + fast.rounds.reduce((n, r) => n + r.accepted, 0));
    const at = plain.tokens.findIndex((token, t) => token !== fast.tokens[t]);
    if (at < 0) {
      assert.equal(fast.tokens.length, plain.tokens.length, `prompt ${i}, ${name}`);
      continue;
    }
    using cache = target.newCache();
    const before = Int32Array.of(...prompt, ...plain.tokens.slice(0, at));
    const { logits } = await target.prefill(before, cache);
    const gap = logits[plain.tokens[at]] - logits[fast.tokens[at]];
    assert.ok(Math.abs(gap) < ROUNDING, `prompt ${i}, ${name}: another token at ${at}, by ${gap}`);
    ties++;
  }
  assert.ok(ties <= 2, `${ties} texts were decided by rounding`);
  for (
    const name of [
      "2 nodes",
      "8 nodes",
      "27 nodes",
      "64 nodes",
      "sized by costs",
      "chain",
      "static",
    ]
  ) {
    assert.ok(accepted.get(name)! > 20, `${name} accepted only ${accepted.get(name)} tokens`);
  }
  for (const drafter of Object.values(drafters)) {
    if (drafter instanceof TreeDrafter) drafter[Symbol.dispose]();
  }
});
