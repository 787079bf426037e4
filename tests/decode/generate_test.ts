/**
 * Generating with a tiny random target and a random draft: greedy speculation writes what plain decoding
 * writes, and both end and fail for the same reasons. Losslessness is enumerated in `lossless_test.ts`, and sampled
 * texts are tested in `goodness_of_fit_test.ts`; here the caches and programs take part.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth, type TreeShape } from "../../lib/decode/growth.ts";
import { argmax, GREEDY, processLogits } from "../../lib/decode/sample.ts";
import type { GenerateOptions } from "../../lib/decode/sequence.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import type { TargetConfig } from "../../lib/model/config.ts";
import { random } from "../../lib/random.ts";
import type { EndReason, GenerationEvent, RoundEvent } from "../../lib/report/events.ts";
import { naiveTarget } from "../model/naive.ts";
import { assertClose } from "../tolerance.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget, tinyWeights } from "../model/tiny.ts";

/** Few tokens, so that a random draft is sometimes right. */
const CONFIG: TargetConfig = { ...TINY, vocabulary: 6 };
/** A target whose greedy texts vary and do not repeat at once. */
const SEED = 5;

/** A target with drafters of several trees. */
class Decoders implements Disposable {
  readonly target: TargetDecoder;
  #drafters = new Map<string, TreeDrafter>();
  #backend: Awaited<ReturnType<typeof openOnnxBackend>>;
  constructor(backend: Awaited<ReturnType<typeof openOnnxBackend>>, config: TargetConfig) {
    this.#backend = backend;
    this.target = new TargetDecoder(tinyTarget(backend, { ...config, seed: SEED }), { backend });
  }
  drafter(tree: TreeShape): TreeDrafter {
    const name = JSON.stringify(tree), known = this.#drafters.get(name);
    if (known !== undefined) return known;
    const { target } = this.target, draft = tinyDraft(tinyDraftConfig(target.config));
    const made = new TreeDrafter(draft, {
      backend: this.#backend,
      target,
      growth: dynamicGrowth(tree),
    });
    this.#drafters.set(name, made);
    return made;
  }
  [Symbol.dispose](): void {
    this.target[Symbol.dispose]();
    for (const drafter of this.#drafters.values()) drafter[Symbol.dispose]();
    this.#backend[Symbol.dispose]();
  }
}

async function open(changes: Partial<TargetConfig> = {}): Promise<Decoders> {
  return new Decoders(await openOnnxBackend({ threads: 1 }), { ...CONFIG, ...changes });
}

interface Written {
  tokens: number[];
  rounds: RoundEvent[];
  reason: EndReason | undefined;
}

async function collect(events: AsyncGenerator<GenerationEvent>): Promise<Written> {
  const written: Written = { tokens: [], rounds: [], reason: undefined };
  for await (const event of events) {
    assert.equal(written.reason, undefined, "an event came after the end");
    if (event.type === "end") written.reason = event.reason;
    else written.tokens.push(...event.tokens);
    if (event.type === "round") written.rounds.push(event);
  }
  return written;
}

const plain = ({ target }: Decoders, prompt: Int32Array, options: GenerateOptions = {}) =>
  collect(generate(target, prompt, options));

const drafted = (
  decoders: Decoders,
  prompt: Int32Array,
  { tree, ...options }: GenerateOptions & { tree: TreeShape },
) => collect(speculate(decoders.target, prompt, { ...options, drafter: decoders.drafter(tree) }));

function somePrompt(length: number, name = "prompt"): Int32Array {
  const from = random(21, name, length);
  return Int32Array.from({ length }, () => from.integer(CONFIG.vocabulary));
}

const TREE: TreeShape = { depth: 3, width: 3, budget: 10 };

Deno.test("plain greedy decoding follows the argmax of the equations", async () => {
  using decoders = await open();
  const prompt = somePrompt(7), weights = tinyWeights(CONFIG, SEED), text = [...prompt];
  const { tokens } = await plain(decoders, prompt, { maxTokens: 12 });
  for (const token of tokens) {
    const { logits } = naiveTarget(CONFIG, (name) => weights[name], text);
    assert.equal(token, argmax(logits.at(-1)!));
    text.push(token);
  }
  assert.equal(text.length, 19);
});

Deno.test("greedy speculation writes what plain decoding writes, for every tree", async () => {
  using decoders = await open();
  const shapes: TreeShape[] = [];
  for (const budget of [2, 8, 32]) {
    for (const [depth, width] of [[1, 6], [2, 1], [3, 3], [6, 2], [4, 5]]) {
      shapes.push({ depth, width, budget });
    }
  }
  let accepted = 0, deepest = 0;
  for (const length of [1, 17, 66]) {
    const prompt = somePrompt(length), wanted = await plain(decoders, prompt, { maxTokens: 24 });
    assert.ok(new Set(wanted.tokens).size > 3, "a text of few tokens shows little");
    for (const tree of shapes) {
      const found = await drafted(decoders, prompt, { tree, maxTokens: 24 });
      const what = `prompt ${length}, tree ${JSON.stringify(tree)}`;
      assert.deepEqual(found.tokens, wanted.tokens, what);
      assert.equal(found.reason, "length limit");
      found.rounds.slice(0, -1).forEach((round) => {
        assert.equal(round.tokens.length, round.accepted + 1, what);
        assert.ok(round.drafted <= tree.budget - 1 && round.depth <= tree.depth, what);
        assert.ok(round.accepted <= round.depth, what);
        accepted += round.accepted;
        deepest = Math.max(deepest, round.accepted);
      });
    }
  }
  assert.ok(accepted > 200 && deepest > 2, `accepted ${accepted}, at most ${deepest} at once`);
});

Deno.test("the same with tied heads and without grouped keys", async () => {
  for (const changes of [{ tied: true }, { kvHeads: 4 }]) {
    using decoders = await open(changes);
    const prompt = somePrompt(9), wanted = await plain(decoders, prompt, { maxTokens: 20 });
    const found = await drafted(decoders, prompt, { tree: TREE, maxTokens: 20 });
    assert.deepEqual(found.tokens, wanted.tokens);
  }
});

Deno.test("two generations at once do not disturb each other", async () => {
  using decoders = await open();
  const prompts = [somePrompt(5), somePrompt(30)];
  const alone = [];
  for (const prompt of prompts) {
    alone.push((await plain(decoders, prompt, { maxTokens: 15 })).tokens);
  }
  const runs = prompts.map((prompt) =>
    speculate(decoders.target, prompt, { drafter: decoders.drafter(TREE), maxTokens: 15 })
  );
  const together: number[][] = [[], []];
  for (let open = true; open;) {
    open = false;
    for (const [i, run] of runs.entries()) {
      const { value, done } = await run.next();
      if (!done && value.type !== "end") together[i].push(...value.tokens);
      open ||= !done;
    }
  }
  assert.deepEqual(together, alone);
});

Deno.test("the draft is handed every row once: the target's features, and the tokens after them", async () => {
  using decoders = await open();
  const tree = { depth: 6, width: 5, budget: 32 };
  const prompt = somePrompt(17), drafter = decoders.drafter(tree), { width } = CONFIG;
  const ids: number[] = [], features: number[] = [];
  const original = drafter.propose.bind(drafter);
  drafter.propose = (requests) => {
    for (const { news } of requests) {
      ids.push(...news.ids);
      features.push(...news.features);
    }
    return original(requests);
  };
  const { tokens, rounds } = await drafted(decoders, prompt, { tree, maxTokens: 24 });
  assert.ok(rounds.some((r) => r.accepted > 1), "no path to take features from");
  const text = [...prompt, ...tokens], weights = tinyWeights(CONFIG, SEED);
  assert.ok(ids.length > 30 && ids.length <= text.length - 1);
  assert.deepEqual(ids, text.slice(1, ids.length + 1));
  const wanted = naiveTarget(CONFIG, (name) => weights[name], text).features.slice(0, ids.length);
  assertClose(features, wanted.flat(), { what: "features", shape: [ids.length, width], a: 1e-4 });
});

Deno.test("a seed fixes what is sampled", async () => {
  using decoders = await open();
  const sampling = { temperature: 1, topK: 0, topP: 1 }, prompt = somePrompt(6);
  const run = (seed: number) =>
    drafted(decoders, prompt, { tree: TREE, sampling, maxTokens: 20, random: random(seed) });
  assert.deepEqual((await run(1)).tokens, (await run(1)).tokens);
  assert.notDeepEqual((await run(1)).tokens, (await run(2)).tokens);
});

Deno.test("both stop right after an end token", async () => {
  using decoders = await open();
  const prompt = somePrompt(17), { tokens } = await plain(decoders, prompt, { maxTokens: 24 });
  for (const end of new Set(tokens)) {
    using ending = await open({ eos: [end, CONFIG.vocabulary + 5] });
    const wanted = tokens.slice(0, tokens.indexOf(end) + 1);
    const one = await plain(ending, prompt, { maxTokens: 24 });
    assert.deepEqual([one.tokens, one.reason], [wanted, "end token"]);
    for (const tree of [TREE, { depth: 6, width: 5, budget: 32 }]) {
      const two = await drafted(ending, prompt, { tree, maxTokens: 24 });
      assert.deepEqual([two.tokens, two.reason], [wanted, "end token"]);
    }
  }
});

Deno.test("both stop at the length limit, in the middle of an accepted path too", async () => {
  using decoders = await open();
  const prompt = somePrompt(17), { tokens } = await plain(decoders, prompt, { maxTokens: 20 });
  let cut = 0;
  for (let maxTokens = 1; maxTokens <= 20; maxTokens++) {
    const tree = { depth: 6, width: 5, budget: 32 };
    for (
      const run of [
        plain(decoders, prompt, { maxTokens }),
        drafted(decoders, prompt, { tree, maxTokens }),
      ]
    ) {
      const written = await run, last = written.rounds.at(-1);
      assert.deepEqual([written.tokens, written.reason], [
        tokens.slice(0, maxTokens),
        "length limit",
      ]);
      if (last !== undefined && last.tokens.length < last.accepted + 1) cut++;
    }
  }
  assert.ok(cut > 0, "no path was cut: choose another prompt");
});

Deno.test("both stop when the positions are used up", async () => {
  using decoders = await open();
  const { positions } = CONFIG;
  for (const left of [1, 2, 7]) {
    const prompt = somePrompt(positions - left);
    const one = await plain(decoders, prompt),
      two = await drafted(decoders, prompt, { tree: TREE });
    assert.deepEqual([one.tokens.length, one.reason], [left, "positions"]);
    assert.deepEqual([two.tokens, two.reason], [one.tokens, "positions"]);
  }
});

Deno.test("an abort ends both after the round at work", async () => {
  using decoders = await open();
  const prompt = somePrompt(8);
  for (const kind of ["plain", "drafted"] as const) {
    const abort = new AbortController(), { signal } = abort, tokens: number[] = [];
    const run = kind === "plain"
      ? generate(decoders.target, prompt, { signal })
      : speculate(decoders.target, prompt, { signal, drafter: decoders.drafter(TREE) });
    let rounds = 0, reason: EndReason | undefined;
    for await (const event of run) {
      if (event.type === "end") reason = event.reason;
      else tokens.push(...event.tokens);
      if (event.type === "round" && ++rounds === 3) abort.abort();
    }
    assert.equal(reason, "abort", kind);
    assert.equal(rounds, 4, kind);
    const all = (await plain(decoders, prompt, { maxTokens: tokens.length })).tokens;
    assert.deepEqual(tokens, all, kind);
  }
});

Deno.test("leaving the loop is allowed at any time", async () => {
  using decoders = await open();
  const options = { drafter: decoders.drafter(TREE) }, prompt = somePrompt(8);
  for (const leaveAt of [1, 3]) {
    let events = 0;
    for await (const _ of speculate(decoders.target, prompt, options)) {
      if (++events === leaveAt) break;
    }
    assert.equal(events, leaveAt);
  }
  const after = await drafted(decoders, prompt, { tree: TREE, maxTokens: 10 });
  assert.deepEqual(after.tokens, (await plain(decoders, prompt, { maxTokens: 10 })).tokens);
});

Deno.test("what cannot be generated is refused before anything runs", async () => {
  using decoders = await open();
  const good = somePrompt(4), full = somePrompt(CONFIG.positions);
  const cold = { temperature: -1, topK: 0, topP: 1 }, warm = { ...cold, temperature: 1 };
  const cases: [Int32Array, GenerateOptions, RegExp][] = [
    [full, {}, /the prompt has 96 tokens, tiny knows 96 positions/],
    [new Int32Array(0), {}, /empty prompt/],
    [good, { sampling: cold }, /temperature -1: wanted 0/],
    [good, { sampling: { ...warm, topP: 0 } }, /top-p 0/],
    [good, { sampling: warm }, /at temperature 1 without random numbers/],
  ];
  for (const [prompt, options, message] of cases) {
    await assert.rejects(generate(decoders.target, prompt, options).next(), message);
    const speculation = { ...options, drafter: decoders.drafter(TREE) };
    await assert.rejects(speculate(decoders.target, prompt, speculation).next(), message);
  }
  const large = { ...TREE, budget: 65 };
  const run = speculate(decoders.target, good, { drafter: decoders.drafter(large) });
  await assert.rejects(run.next(), /trees of 65 nodes: wanted at most 64/);
});

Deno.test("a trace tells the tree and what the target says of each node", async () => {
  using decoders = await open();
  const prompt = somePrompt(17), weights = tinyWeights(CONFIG, SEED), text = [...prompt];
  const tree = { depth: 4, width: 3, budget: 14 };
  let checked = 0, accepted = 0;
  for (const sampling of [GREEDY, { temperature: 0.8, topK: 4, topP: 1 }]) {
    text.length = prompt.length;
    const settings = { sampling, random: random(4, "trace"), maxTokens: 12, trace: true };
    const run = speculate(decoders.target, prompt, {
      ...settings,
      drafter: decoders.drafter(tree),
    });
    for await (const event of run) {
      if (event.type === "round") {
        const { tokens, parents, scores, choices, probabilities, path } = event.trace!;
        assert.equal(tokens[0], text.at(-1));
        assert.equal(tokens.length, event.drafted + 1);
        assert.ok(scores.every((s, i) => i === 0 ? s === 0 : s <= scores[parents[i]]));
        tokens.forEach((_, node) => {
          const drafted: number[] = [];
          for (let i = node; i > 0; i = parents[i]) drafted.unshift(tokens[i]);
          const { logits } = naiveTarget(CONFIG, (name) => weights[name], [...text, ...drafted]);
          const p = new Float64Array(CONFIG.vocabulary);
          processLogits(logits.at(-1)!, sampling, p);
          assert.equal(choices[node], argmax(p));
          parents.forEach((parent, child) => {
            if (parent !== node || child === 0) return;
            assert.ok(Math.abs(probabilities[child] - p[tokens[child]]) < 1e-3);
            checked++;
          });
        });
        assert.equal(path.length, event.accepted);
        const emitted = [...path.map((node) => tokens[node])];
        assert.deepEqual(
          event.tokens.slice(0, emitted.length),
          emitted.slice(0, event.tokens.length),
        );
        path.forEach((node, i) => assert.equal(parents[node], i === 0 ? 0 : path[i - 1]));
        accepted += path.length;
      }
      if (event.type !== "end") text.push(...event.tokens);
    }
  }
  assert.ok(checked > 50 && accepted > 3, `${checked} nodes, ${accepted} accepted`);
});

Deno.test("a repetition penalty counts the prompt, the text and the drafted path", async () => {
  const config = { ...CONFIG, vocabulary: 24 };
  using decoders = await open(config);
  const prompt = somePrompt(9), weights = tinyWeights(config, SEED);
  const sampling = { ...GREEDY, repetitionPenalty: 1.5 }, text = [...prompt];
  const wanted: number[] = [];
  while (wanted.length < 16) {
    const { logits } = naiveTarget(config, (name) => weights[name], text);
    const p = new Float64Array(config.vocabulary);
    processLogits(logits.at(-1)!, sampling, p, text);
    wanted.push(argmax(p));
    text.push(argmax(p));
  }
  const one = await plain(decoders, prompt, { sampling, maxTokens: 16 });
  const without = await plain(decoders, prompt, { maxTokens: 16 });
  assert.notDeepEqual(one.tokens, without.tokens, "the penalty changes nothing here");
  assert.deepEqual(one.tokens, wanted);
  const tree = { depth: 6, width: 5, budget: 32 };
  const two = await drafted(decoders, prompt, { tree, sampling, maxTokens: 16 });
  assert.deepEqual(two.tokens, wanted);
  assert.ok(two.rounds.some(({ accepted }) => accepted > 0));
});
