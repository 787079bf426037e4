/** Tests lib/bench/tree.ts: who is decoded, in which order, and what is made of the times. */
import assert from "node:assert/strict";
import {
  type Decoded,
  decodeInTurn,
  fastest,
  nameOf,
  standings,
  SWEEP_GRID,
} from "../../lib/bench/tree.ts";
import { NO_DRAFTER } from "../../lib/decode/drafter.ts";
import { generate } from "../../lib/decode/generate.ts";
import { chainGrowth } from "../../lib/decode/growth.ts";
import { ROW_SIZES } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { record } from "../../lib/eval/run.ts";
import { generation } from "../eval/recordings.ts";
import { tinyPair } from "../eval/tiny_recording.ts";

function row(budget: number, { ms, emitted = 100 }: { ms: number; emitted?: number }) {
  const shape = { depth: 3, width: 2, budget, minimumScore: -Infinity };
  const tokensPerSecond = 1000 * emitted / ms;
  return { ...shape, emitted, forwards: 50, tau: emitted / 50, ms, tokensPerSecond, missed: 0 };
}

Deno.test("half are the fastest, half the fastest of other budgets; of equal predictions the first alone", () => {
  const rows = [
    row(2, { ms: 30 }),
    row(3, { ms: 10 }),
    row(3, { ms: 10 }),
    row(4, { ms: 10 }),
    row(3, { ms: 11 }),
    row(3, { ms: 12 }),
    row(6, { ms: 20 }),
    row(6, { ms: 19 }),
  ];
  const chosen = (count: number) => fastest(rows, { count }).map((r) => [r.budget, r.ms]);
  assert.deepEqual(chosen(1), [[3, 10]]);
  assert.deepEqual(chosen(4), [[3, 10], [3, 11], [6, 19], [2, 30]]);
  assert.deepEqual(chosen(6), [[3, 10], [3, 11], [3, 12], [6, 19], [2, 30]]);
});

Deno.test("sizes are named as on the command line", () => {
  assert.equal(nameOf(row(8, { ms: 1 })), "8/3/2");
  assert.equal(nameOf({ ...row(8, { ms: 1 }), minimumScore: -4 }), "8/3/2 from -4");
});

Deno.test("every budget of the sweep is a size that is compiled, so none pays for padding", () => {
  for (const budget of SWEEP_GRID.budgets) assert.ok(ROW_SIZES.includes(budget), `${budget}`);
});

Deno.test("all prompts are decoded by all, another first each time, and say the same", async () => {
  using tiny = await tinyPair();
  const { backend, target, draft } = tiny, prompts = tiny.prompts.map((p) => p.ids);
  const growth = chainGrowth(2), options = { backend, target: target.target, growth };
  using chain = new TreeDrafter(draft, options);
  const contenders = [{ name: "chain", drafter: chain }, { name: "plain", drafter: NO_DRAFTER }];
  const settings = { prompts, repetitions: 2, maxTokens: 10 };
  const decoded = await Array.fromAsync(decodeInTurn(target, contenders, settings));
  assert.deepEqual(
    decoded.map((d) => [d.repetition, d.prompt, d.contender].join("")),
    ["000", "001", "011", "010", "020", "021", "101", "100", "110", "111", "121", "120"],
  );
  for (const { prompt, generation, contender } of decoded) {
    const plain = await record(generate(target, prompts[prompt], { maxTokens: 10 }));
    assert.deepEqual(generation.tokens, plain.tokens);
    if (contender === 1) assert.equal(generation.rounds.length, 9);
  }
  const { rows } = standings(decoded, {
    names: ["chain", "plain"],
    fixed: (name) => name === "chain",
  });
  assert.ok(rows[0].tau > 1 && rows[1].tau === 1 && rows.every((r) => r.tokensPerSecond > 0));
});

/** Each contender's milliseconds of 10 tokens, by prompt and repetition. */
function made(times: readonly (readonly (readonly number[])[])[]): Decoded[] {
  return times.flatMap((prompts, contender) =>
    prompts.flatMap((repetitions, prompt) =>
      repetitions.map((roundMs, repetition) => ({
        contender,
        prompt,
        repetition,
        generation: generation(Array.from({ length: 5 }, () => [2, 1, 2] as const), {
          prefillMs: 100,
          roundMs: roundMs / 5,
        }),
      }))
    )
  );
}

Deno.test("speeds are of medians and totals; the best is a fixed one; prefill does not count", () => {
  const decoded = made([
    [[10, 11, 999], [20, 20, 20]],
    [[10, 10, 10], [10, 10, 10]],
    [[5, 5, 5], [5, 5, 5]],
  ]);
  const names = ["slow", "fast", "auto"];
  const { rows, best } = standings(decoded, { names, fixed: (name) => name !== "auto" });
  assert.equal(best, "fast");
  const speeds = rows.map((r) => Math.round(r.tokensPerSecond));
  assert.deepEqual(speeds, [Math.round(20_000 / 31), 1000, 2000]);
  assert.deepEqual(rows.map((r) => r.tau), [2, 2, 2]);
  const { draftMs, verifyMs } = rows[2].parts;
  assert.ok(Math.abs(draftMs - 0.2) < 1e-9 && Math.abs(verifyMs - 0.7) < 1e-9);
  const [slow, fast, auto] = rows;
  assert.ok(Math.abs(slow.ratio - 20 / 31) < 1e-9 && fast.ratio === 1 && auto.ratio === 2);
  // Over prompts the ratio is between that of the one and that of the other.
  assert.ok(Math.abs(slow.low - 0.5) < 1e-9 && Math.abs(slow.high - 10 / 11) < 1e-9);
  assert.deepEqual([auto.low, auto.high], [2, 2]);
});

Deno.test("contenders that cannot be compared are named", () => {
  const decoded = made([[[1], [1]], [[1], [1]]]).filter((d) => d.contender + d.prompt < 2);
  assert.throws(
    () => standings(decoded, { names: ["a", "b"], fixed: () => true }),
    /Cannot compare: b has not decoded prompt 2/,
  );
  assert.throws(
    () => standings(made([[[1]]]), { names: ["auto"], fixed: () => false }),
    /best of no fixed trees/,
  );
});
