/**
 * Several sequences at a time: each is what it is alone, whatever the others do; places are taken again; nothing is
 * left behind when a run ends early.
 */
import assert from "node:assert/strict";
import type { Backend, Tensor } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { type BatchOptions, speculateAll } from "../../lib/decode/batch.ts";
import { NO_DRAFTER } from "../../lib/decode/drafter.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { chainGrowth, dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import type { Growth } from "../../lib/decode/tree.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import type { TargetConfig } from "../../lib/model/config.ts";
import { random } from "../../lib/random.ts";
import type { EndReason } from "../../lib/report/events.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

const CONFIG: TargetConfig = { ...TINY, vocabulary: 6 };
const GROWTH = () => dynamicGrowth({ depth: 3, width: 3, budget: 8 });

function open(
  backend: Backend,
  { sequences, growth = GROWTH(), children = "top" as "top" | "sampled", eos = [] as number[] }: {
    sequences: number;
    growth?: Growth;
    children?: "top" | "sampled";
    eos?: number[];
  },
) {
  const loaded = tinyTarget(backend, { ...CONFIG, eos, seed: 5 });
  const target = new TargetDecoder(loaded, { backend, sequences });
  const draft = tinyDraft(tinyDraftConfig(CONFIG));
  const drafter = new TreeDrafter(draft, { backend, target: loaded, growth, children, sequences });
  return { target, drafter };
}

const prompts = (lengths: readonly number[]) =>
  lengths.map((length) => {
    const from = random(22, "prompt", length);
    return Int32Array.from({ length }, () => from.integer(CONFIG.vocabulary));
  });

async function collect(
  target: TargetDecoder,
  all: readonly Int32Array[],
  options: BatchOptions,
): Promise<{ tokens: number[]; reason: EndReason | undefined }[]> {
  const out = all.map(() => ({
    tokens: [] as number[],
    reason: undefined as EndReason | undefined,
  }));
  for await (const { index, event } of speculateAll(target, all, options)) {
    assert.equal(out[index].reason, undefined, "an event came after the end");
    if (event.type === "end") out[index].reason = event.reason;
    else out[index].tokens.push(...event.tokens);
  }
  return out;
}

const LENGTHS = [3, 17, 66, 9, 30, 1, 41, 5];

for (const sequences of [1, 2, 3, 8]) {
  Deno.test(`${sequences} at a time: every text is the plain one, more prompts than places`, async () => {
    using backend = await openOnnxBackend({ threads: 1 });
    const { target, drafter } = open(backend, { sequences }), all = prompts([...LENGTHS, 12, 25]);
    const found = await collect(target, all, { drafter, maxTokens: 13 });
    for (const [i, prompt] of all.entries()) {
      const alone: number[] = [];
      for await (const event of generate(target, prompt, { maxTokens: 13 })) {
        if (event.type !== "end") alone.push(...event.tokens);
      }
      assert.deepEqual(found[i], { tokens: alone, reason: "length limit" }, `prompt ${i}`);
    }
  });
}

Deno.test("texts that end at different times give their places to the next", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const { target, drafter } = open(backend, { sequences: 3, eos: [2] }), all = prompts(LENGTHS);
  const found = await collect(target, all, { drafter, maxTokens: 6 });
  const plain = await collect(target, all, { drafter: NO_DRAFTER, maxTokens: 6 });
  assert.deepEqual(found, plain);
  assert.ok(new Set(found.map(({ reason }) => reason)).size > 1, "all texts ended alike");
  assert.ok(new Set(found.map(({ tokens }) => tokens.length)).size > 2);
});

for (const children of ["top", "sampled"] as const) {
  Deno.test(`sampled texts are those that each random stream gives alone: ${children} children`, async () => {
    using backend = await openOnnxBackend({ threads: 1 });
    const growth = children === "sampled" ? chainGrowth(3) : GROWTH();
    const { target, drafter } = open(backend, { sequences: 4, growth, children });
    const all = prompts(LENGTHS.slice(0, 6)), sampling = { temperature: 1, topK: 0, topP: 0.95 };
    const stream = (index: number) => random(9, "text", index);
    const settings = { drafter, sampling, maxTokens: 12 };
    const found = await collect(target, all, { ...settings, random: stream });
    for (const [i, prompt] of all.entries()) {
      const alone: number[] = [];
      for await (const event of speculate(target, prompt, { ...settings, random: stream(i) })) {
        if (event.type !== "end") alone.push(...event.tokens);
      }
      assert.deepEqual(found[i].tokens, alone, `prompt ${i}`);
    }
  });
}

/** A backend that counts tensors made and not yet disposed of. */
function counted(backend: Backend): { backend: Backend; made: () => number; alive: () => number } {
  let made = 0, alive = 0;
  return {
    made: () => made,
    alive: () => alive,
    backend: {
      ...backend,
      tensor(data, shape): Tensor {
        const tensor = backend.tensor(data, shape), dispose = tensor[Symbol.dispose].bind(tensor);
        made++;
        alive++;
        tensor[Symbol.dispose] = () => {
          alive--;
          dispose();
        };
        return tensor;
      },
    },
  };
}

Deno.test("a run that ends early, or fails, leaves no cache behind", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const count = counted(backend), { target, drafter } = open(count.backend, { sequences: 3 });
  const all = prompts(LENGTHS.slice(0, 5)),
    run = () => speculateAll(target, all, { drafter, maxTokens: 9 });
  for await (const _ of run()) { /* everything is compiled now */ }
  const before = count.alive();
  for (const leaveAt of [1, 2, 4, 9]) {
    let events = 0;
    for await (const _ of run()) if (++events === leaveAt) break;
    assert.equal(count.alive(), before, `left after ${leaveAt} events`);
  }
  const propose = drafter.propose.bind(drafter);
  let calls = 0;
  drafter.propose = (requests) => {
    if (++calls === 3) throw new Error("no more ideas");
    return propose(requests);
  };
  await assert.rejects(async () => {
    for await (const _ of run()) { /* until it fails */ }
  }, /no more ideas/);
  assert.equal(count.alive(), before, "after an error");
});

Deno.test("rounds make no tensors", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const count = counted(backend), { target, drafter } = open(count.backend, { sequences: 2 });
  const all = prompts([5, 9]);
  for await (const _ of speculateAll(target, all, { drafter, maxTokens: 60 })) { /* compiles */ }
  let begun = 0, made = 0, rounds = 0;
  for await (const { event } of speculateAll(target, all, { drafter, maxTokens: 60 })) {
    if (event.type === "prefill" && ++begun === 2) made = count.made();
    if (event.type === "round") rounds++;
  }
  assert.ok(rounds > 20);
  assert.equal(count.made(), made, "tensors were made after both prompts had been read");
});

Deno.test("an abort ends all sequences after the round at work", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const { target, drafter } = open(backend, { sequences: 3 }), abort = new AbortController();
  const all = prompts(LENGTHS.slice(0, 3)), reasons: EndReason[] = [];
  let rounds = 0;
  const options = { drafter, maxTokens: 50, signal: abort.signal };
  for await (const { event } of speculateAll(target, all, options)) {
    if (event.type === "round" && ++rounds === 4) abort.abort();
    if (event.type === "end") reasons.push(event.reason);
  }
  assert.deepEqual(reasons, ["abort", "abort", "abort"]);
});

Deno.test("what cannot be decoded is refused", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  assert.throws(() => open(backend, { sequences: 0 }), /decode 0 sequences at a time/);
  const { target } = open(backend, { sequences: 2 }), all = prompts([3, 4]);
  const drafter = { ...NO_DRAFTER, taps: [0] };
  const first = (options: BatchOptions) => speculateAll(target, all, options).next();
  await assert.rejects(
    first({ drafter }),
    /draft reads layers \[0\], this target decoder taps \[\]/,
  );
  await assert.rejects(first({ drafter: { ...NO_DRAFTER, budget: 65 } }), /trees of 65 nodes/);
  const one = open(backend, { sequences: 1 });
  await assert.rejects(
    async () => {
      for await (const _ of speculateAll(target, all, { drafter: one.drafter })) { /* fails */ }
    },
    /draft for 2 sequences at once: this draft was compiled for 1/,
  );
});
