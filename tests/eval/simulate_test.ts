/**
 * Tests lib/eval/simulate.ts: a simulated round is the round that decoding makes, for every rule that was recorded;
 * what was not recorded is counted; prices add up.
 */
import assert from "node:assert/strict";
import { speculate } from "../../lib/decode/generate.ts";
import { chainGrowth, dynamicGrowth, staticGrowth } from "../../lib/decode/growth.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { autoGrowth } from "../../lib/decode/tree_size.ts";
import type { Growth } from "../../lib/decode/tree.ts";
import { tau } from "../../lib/eval/metrics.ts";
import type { Recording } from "../../lib/eval/recording.ts";
import { record } from "../../lib/eval/run.ts";
import { countMisses, predict, simulate, simulatePrompt } from "../../lib/eval/simulate.ts";
import { COSTS, type TinyPair, tinyPair } from "./tiny_recording.ts";

/** Rounds of really decoding all prompts. */
async function decoded(
  { backend, target, draft, prompts }: TinyPair,
  { growth, maxTokens = 24 }: { growth: Growth; maxTokens?: number },
) {
  const options = { backend, target: target.target, growth, bits: 32 as const };
  using drafter = new TreeDrafter(draft, options);
  const all = [];
  for (const { ids } of prompts) {
    const { tokens, rounds } = await record(speculate(target, ids, { drafter, maxTokens }));
    all.push({
      tokens,
      rounds: rounds.map(({ emitted, drafted, depth, accepted }) => [
        emitted,
        drafted,
        depth,
        accepted,
      ]),
    });
  }
  return all;
}

const simulated = (recording: Recording, growth: Growth) =>
  simulate(recording, growth).map(({ tokens, rounds }) => ({
    tokens,
    rounds: rounds.map(({ emitted, drafted, depth, accepted }) => [
      emitted,
      drafted,
      depth,
      accepted,
    ]),
  }));

const WIDTHS = [1, 2, 3, 5];
const RECORDED = WIDTHS.map((width) => dynamicGrowth({ depth: 6, width, budget: 32 }));
const PATHS = [[0], [1], [2], [0, 0], [0, 1], [1, 0], [0, 0, 0], [0, 1, 0]];

const TAPPED = { fusion: "taps", head: "single", taps: [0, 1], draftVocabulary: 5 } as const;

for (const [kind, changes] of [["GRIFFIN", {}], ["EAGLE-3", TAPPED]] as const) {
  Deno.test(`simulated rounds are those of decoding, with a draft as in ${kind}`, async () => {
    using tiny = await tinyPair(changes);
    const recording = await tiny.record([...RECORDED, staticGrowth(PATHS)]);
    const rules: [name: string, make: () => Growth][] = [
      ["chain", () => chainGrowth(4)],
      ["chain, minimum score", () => chainGrowth(6, { minimumScore: -2 })],
      ["static", () => staticGrowth(PATHS)],
    ];
    const sizes = kind === "GRIFFIN"
      ? [[1, 4], [3, 3], [3, 10], [6, 8], [6, 32]]
      : [[3, 10], [6, 32]];
    for (const width of WIDTHS) {
      for (const [depth, budget] of sizes) {
        const shape = { depth, width, budget };
        rules.push([JSON.stringify(shape), () => dynamicGrowth(shape)]);
        const strict = { minimumScore: -2.5 };
        rules.push([`${JSON.stringify(shape)} strict`, () => dynamicGrowth(shape, strict)]);
      }
    }
    let accepted = 0;
    for (const [name, make] of rules) {
      const wanted = await decoded(tiny, { growth: make() }), found = simulated(recording, make());
      assert.deepEqual(found, wanted, name);
      assert.equal(countMisses(simulate(recording, make())).nodes, 0, name);
      accepted += found.flatMap((f) => f.rounds).reduce((sum, [, , , n]) => sum + n, 0);
    }
    assert.ok(accepted > 200, `only ${accepted} accepted: the test shows little`);
  });
}

Deno.test("texts end where decoding ends them, in the middle of a path too", async () => {
  for (const end of [0, 1, 2, 3, 4, 5]) {
    using tiny = await tinyPair({ eos: [end] });
    const recording = await tiny.record(RECORDED, 40);
    const shape = { depth: 6, width: 5, budget: 32 };
    assert.deepEqual(
      simulated(recording, dynamicGrowth(shape)),
      await decoded(tiny, { growth: dynamicGrowth(shape), maxTokens: 40 }),
    );
  }
});

Deno.test("a rule that learns is told of every round, and decides as when decoding", async () => {
  using tiny = await tinyPair();
  const limits = { branching: 5, rows: 5, depth: 6, budget: 32 };
  // Everything within reach is recorded: no miss, whatever is decided.
  const all = { ...dynamicGrowth({ depth: 3, width: 6, budget: 32 }), depth: 3, rows: 36 };
  all.expand = ({ tokens }, newest) => [...tokens.keys()].slice(newest).slice(0, 36);
  const recording = await tiny.record([all]), own = { ...limits, depth: 3 };
  const wanted = await decoded(tiny, { growth: autoGrowth(COSTS, own) });
  assert.deepEqual(simulated(recording, autoGrowth(COSTS, own)), wanted);
  const sizes = new Set(wanted.flatMap((w) => w.rounds.map(([, drafted]) => drafted)));
  assert.ok(sizes.size > 1, "the rule never changed its mind");
});

Deno.test("nodes that were not recorded are counted and stay without children", async () => {
  using tiny = await tinyPair();
  const recording = await tiny.record([dynamicGrowth({ depth: 2, width: 5, budget: 9 })]);
  const deeper = simulate(recording, dynamicGrowth({ depth: 4, width: 2, budget: 9 }));
  const rounds = deeper.flatMap((s) => s.rounds);
  assert.ok(rounds.every(({ depth, missed }) => depth <= 2 && missed === 2));
  const { nodes, ofNodes, rounds: withMisses, ofRounds } = countMisses(deeper);
  assert.deepEqual(
    [nodes, ofNodes, withMisses, ofRounds],
    [2 * rounds.length, 5 * rounds.length, rounds.length, rounds.length],
  );
});

Deno.test("more children than were recorded cannot be simulated", async () => {
  using tiny = await tinyPair();
  const { branching, prompts: [prompt] } = await tiny.record([chainGrowth(2)]);
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 4 });
  assert.throws(
    () => simulatePrompt(prompt, { growth, branching }),
    /Cannot simulate trees of 2 children a node: 1 were recorded/,
  );
});

Deno.test("a prediction prices every part of a round, and says the same of tokens", async () => {
  using tiny = await tinyPair();
  const recording = await tiny.record(RECORDED);
  const found = simulate(recording, dynamicGrowth({ depth: 3, width: 2, budget: 4 }));
  const predicted = found.map((one) => predict(one, COSTS));
  assert.equal(
    tau(predicted).value,
    24 * 3 / found.flatMap((f) => f.rounds).length - 3 / found.flatMap((f) => f.rounds).length,
  );
  const [{ rounds: [first, second], decodeMs }] = predicted;
  // 3 prompt tokens are read; two levels below the root's children expand two nodes each; four are verified.
  assert.deepEqual([first.draftMs, first.verifyMs, first.sampleMs], [1.7 + 0.37 + 0.37, 5.9, 0.03]);
  const [{ rounds: [before] }] = found, read = [1.1, 1.3, 1.7, 1.7][before.accepted];
  assert.equal(second.draftMs, read + 0.37 + 0.37);
  const total = predicted[0].rounds.reduce((s, r) => s + r.draftMs + r.verifyMs + r.sampleMs, 0);
  assert.ok(Math.abs(decodeMs - total) < 1e-9);
});
