/** Decoding on a device: the shipped target and draft say what they say on the CPU, and tau is the same. */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { takePrompts } from "../../lib/data/prompts.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { ResidentDecoder } from "../../lib/decode/resident_decoder.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { tau } from "../../lib/eval/metrics.ts";
import { record } from "../../lib/eval/run.ts";
import { loadTarget, readDraft } from "../../lib/model/load.ts";
import { random } from "../../lib/random.ts";
import { encodePrompt } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { testOnWebGpu } from "../adapter.ts";

async function decode(backend: Backend) {
  const loaded = await loadTarget("data/target", { backend, context: 512 });
  const tokenizer = await loadTokenizer("data/target");
  const draft = await readDraft("data/draft", { target: loaded });
  using target = new TargetDecoder(loaded, { backend });
  const growth = dynamicGrowth({ depth: 4, width: 2, budget: 8 });
  using drafter = new TreeDrafter(draft, { backend, target: loaded, growth, bits: 32 });
  const [{ messages }] = takePrompts("evaluation", { count: 1 });
  const prompt = encodePrompt(tokenizer, messages), maxTokens = 20;
  const plain = await record(generate(target, prompt, { maxTokens }));
  const drafted = await record(speculate(target, prompt, { drafter, maxTokens }));
  const sampling = { temperature: 1, topK: 0, topP: 1 };
  const warm = () => ({ maxTokens, random: random(1, "warm") });
  const sampled = await record(generate(target, prompt, { ...warm(), sampling }));
  const said = {
    ...{ plain: plain.tokens, drafted: drafted.tokens, sampled: sampled.tokens },
    tau: tau([drafted]).value,
  };
  if (backend.hostVisible) return { ...said, resident: said };
  // Whole rounds on the device, several under way.
  const settings = { backend, drafter, ahead: 3 };
  using alone = new ResidentDecoder(target, { backend, ahead: 3 });
  using greedy = new ResidentDecoder(target, settings);
  using sampler = new ResidentDecoder(target, { ...settings, sampling });
  const own = await record(greedy.generate(prompt, { maxTokens }));
  const resident = {
    plain: (await record(alone.generate(prompt, { maxTokens }))).tokens,
    drafted: own.tokens,
    sampled: (await record(sampler.generate(prompt, warm()))).tokens,
    tau: tau([own]).value,
  };
  return { ...said, resident };
}

testOnWebGpu(
  "texts, plain, drafted and sampled, and tau are the CPU's, by the host's rounds and the device's",
  async (backend) => {
    using cpu = await openOnnxBackend();
    const wanted = await decode(cpu), found = await decode(backend);
    assert.deepEqual(found, wanted);
    assert.deepEqual(found.drafted, found.plain);
    assert.notDeepEqual(found.sampled, found.plain);
  },
);
