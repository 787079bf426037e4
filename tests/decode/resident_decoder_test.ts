/**
 * Rounds that never wait for the host say what the host's loop says: the same trees, texts and ends. With one random
 * number for each place of the text, sampled texts are those of plain decoding, token for token: that is losslessness
 * without any statistics. In float64, so that nothing hangs on rounding.
 */
import assert from "node:assert/strict";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { chainGrowth, dynamicGrowth, staticGrowth } from "../../lib/decode/growth.ts";
import { ResidentDecoder } from "../../lib/decode/resident_decoder.ts";
import { GREEDY, type Sampling } from "../../lib/decode/sample.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import type { Growth, TreeShape } from "../../lib/decode/tree.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import type { GenerateOptions } from "../../lib/decode/sequence.ts";
import type { DraftConfig, TargetConfig } from "../../lib/model/config.ts";
import { random } from "../../lib/random.ts";
import type { GenerationEvent } from "../../lib/report/events.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

/** Few tokens, so that a random draft is sometimes right; a target whose greedy texts vary. */
const CONFIG: TargetConfig = { ...TINY, vocabulary: 6 }, SEED = 5;
const SHAPE: TreeShape = { depth: 3, width: 2, budget: 6 };
const PROMPT = Int32Array.of(3, 1, 4, 1, 5);
const EAGLE3 = { fusion: "taps", head: "single", taps: [0, 1], draftVocabulary: 5 } as const;

function open(
  { growth = dynamicGrowth(SHAPE), target: changes = {}, draft: other = {}, sampling = GREEDY }: {
    growth?: Growth;
    target?: Partial<TargetConfig>;
    draft?: Partial<DraftConfig>;
    sampling?: Sampling;
  },
) {
  const stack = new DisposableStack(), backend = referenceBackend();
  const loaded = tinyTarget(backend, { ...CONFIG, ...changes, seed: SEED });
  const config = tinyDraftConfig(loaded.config, other), draft = tinyDraft(config);
  const target = stack.use(new TargetDecoder(loaded, { backend, taps: config.taps }));
  const settings = { backend, target: loaded, growth, bits: 32 as const };
  const drafter = stack.use(new TreeDrafter(draft, settings));
  const resident = stack.use(new ResidentDecoder(target, { backend, drafter, sampling }));
  return { backend, target, drafter, resident, [Symbol.dispose]: () => stack.dispose() };
}

/** What happens, without times. */
async function told(events: AsyncIterable<GenerationEvent>) {
  const all = await Array.fromAsync(events);
  return all.map((event) => {
    if (event.type !== "round") return event.type === "end" ? event : { tokens: event.tokens };
    const { tokens, drafted, depth, accepted } = event;
    return { tokens, drafted, depth, accepted };
  });
}

const textOf = async (events: AsyncIterable<GenerationEvent>) =>
  (await told(events)).flatMap((event) => "tokens" in event ? event.tokens : []);

const SETTINGS: Record<string, Parameters<typeof open>[0]> = {
  "a dynamic tree": {},
  "a tree of every candidate": { growth: dynamicGrowth({ depth: 2, width: 3, budget: 40 }) },
  "a tree of one level": { growth: dynamicGrowth({ depth: 1, width: 3, budget: 3 }) },
  "a tree deeper than its budget": { growth: dynamicGrowth({ depth: 4, width: 2, budget: 3 }) },
  "a chain": { growth: chainGrowth(4) },
  "a draft that reads tapped layers and knows fewer tokens": { draft: EAGLE3 },
};

for (const [name, settings] of Object.entries(SETTINGS)) {
  Deno.test(`greedy rounds are the host's: ${name}`, async () => {
    using world = open(settings);
    const { target, drafter, resident } = world, maxTokens = 24;
    const wanted = await told(speculate(target, PROMPT, { drafter, maxTokens }));
    assert.deepEqual(await told(resident.generate(PROMPT, { maxTokens })), wanted);
    const accepted = wanted.map((event) => "accepted" in event ? event.accepted : 0);
    assert.ok(accepted.some((n) => n! > 0) && accepted.some((n) => n === 0), `${accepted}`);
  });
}

Deno.test("rounds without a draft are plain decoding", async () => {
  using world = open({});
  const { backend, target } = world;
  using plain = new ResidentDecoder(target, { backend });
  const wanted = await told(generate(target, PROMPT, { maxTokens: 9 }));
  assert.deepEqual(await told(plain.generate(PROMPT, { maxTokens: 9 })), wanted);
});

const SAMPLINGS: Sampling[] = [
  { temperature: 1, topK: 0, topP: 1 },
  { temperature: 0.6, topK: 0, topP: 1 },
  { temperature: 1.4, topK: 3, topP: 1 },
  { temperature: 1, topK: 5, topP: 0.8 },
];
for (const sampling of SAMPLINGS) {
  const { temperature, topK, topP } = sampling;
  Deno.test(`sampled texts are those of plain decoding: ${temperature}, ${topK}, ${topP}`, async () => {
    using world = open({ sampling });
    const { target, resident } = world, texts = new Set<string>();
    for (let seed = 0; seed < 6; seed++) {
      const options = () => ({ maxTokens: 14, random: random(seed, "text") });
      const wanted = await textOf(generate(target, PROMPT, { ...options(), sampling }));
      assert.deepEqual(await textOf(resident.generate(PROMPT, options())), wanted);
      texts.add(wanted.join(" "));
    }
    assert.ok(texts.size > 3, "seeds give different texts");
  });
}

const ENDS: Record<string, { options: GenerateOptions; target?: Partial<TargetConfig> }> = {
  "a stop token within a round": { options: { stopTokens: [4], maxTokens: 40 } },
  "a stop string": {
    options: { stop: { strings: ["42"], decode: (ids) => ids.join("") }, maxTokens: 40 },
  },
  "an end token": { options: { maxTokens: 40 }, target: { eos: [2] } },
  "the length limit": { options: { maxTokens: 7 } },
  "the first token": { options: { maxTokens: 1 } },
  "the last position": { options: { maxTokens: 99 }, target: { positions: 24 } },
};
for (const [name, { options, target: changes }] of Object.entries(ENDS)) {
  Deno.test(`rounds end where the host's do: ${name}`, async () => {
    using world = open({ target: changes });
    const { target, drafter, resident } = world;
    const wanted = await told(speculate(target, PROMPT, { drafter, ...options }));
    assert.deepEqual(await told(resident.generate(PROMPT, options)), wanted);
  });
}

Deno.test("a prompt of one token is read by the first round", async () => {
  using world = open({});
  const { target, drafter, resident } = world, prompt = Int32Array.of(2);
  const wanted = await told(speculate(target, prompt, { drafter, maxTokens: 8 }));
  assert.deepEqual(await told(resident.generate(prompt, { maxTokens: 8 })), wanted);
});

Deno.test("what a device cannot choose by is refused", () => {
  using world = open({});
  const { backend, target } = world;
  const refused = (sampling: Sampling) => new ResidentDecoder(target, { backend, sampling });
  assert.throws(
    () => refused({ temperature: 1, topK: 0, topP: 0.9 }),
    /top-p 0.9, top-k 0 .* wanted/,
  );
  assert.throws(
    () => refused({ temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1.1 }),
    /repetition penalty 1.1/,
  );
  assert.throws(() => open({ growth: staticGrowth([[0], [1]]) }), /wanted a dynamic tree/);
  assert.throws(
    () => new ResidentDecoder(target, { backend, ahead: 0 }),
    /Cannot run 0 rounds ahead/,
  );
});
