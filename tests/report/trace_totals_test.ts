/** Totals of a trace: the metrics' numbers, and rows that show what they were made of. */
import assert from "node:assert/strict";
import { tau, tauUpstream } from "../../lib/eval/metrics.ts";
import { record } from "../../lib/eval/run.ts";
import { tauSpecForge, tauVllm } from "../../lib/eval/tau_definitions.ts";
import { generationRows, ratioRows, traceTotals } from "../../lib/report/trace_totals.ts";
import { madeUpGeneration, madeUpTrace } from "./traces.ts";

const SEEDS = [1, 2, 3];

Deno.test("totals are those of the recorded run", async () => {
  const { generations } = await madeUpTrace(SEEDS), totals = traceTotals(generations);
  const recorded = await Promise.all(SEEDS.map((seed) => record(madeUpGeneration({ seed }))));
  assert.deepEqual(
    [totals.tau, totals.tau_upstream, totals.tau_vllm, totals.tau_specforge],
    [tau, tauUpstream, tauVllm, tauSpecForge].map((definition) => definition(recorded)),
  );
  assert.equal(totals.generations, 3);
  assert.equal(totals.tokens, totals.tau.numerator + 3);
  assert.equal(totals.rounds, totals.tau.denominator);
});

Deno.test("rows: a ratio each with numerator and denominator; a generation each", async () => {
  const { generations } = await madeUpTrace(SEEDS), totals = traceTotals(generations);
  const rows = ratioRows(totals), { value, numerator, denominator } = totals.tau;
  assert.deepEqual(rows[1], [
    "tau: tokens emitted / rounds",
    value.toFixed(3),
    numerator,
    denominator,
  ]);
  assert.ok(rows.every((row) => row.length === 4));
  assert.match(String(rows.at(-1)![0]), /^accepted at depth \d \/ reached$/);
  const listed = generationRows(generations);
  assert.deepEqual(listed.slice(1).map((row) => row[1]), ["p1", "p2", "p3"]);
  assert.equal(listed.slice(1).reduce((n, row) => n + Number(row[5]), 0), totals.rounds);
});

Deno.test("a run that was stopped, and a generation without a round, have rows too", async () => {
  const { generations: [one] } = await madeUpTrace([1]);
  const [, row] = generationRows([{ start: one.start, rounds: [] }]);
  assert.deepEqual(row, [1, "p1", "made up", 3, 1, 0, "-", "run stopped"]);
  assert.deepEqual(ratioRows(traceTotals([{ start: one.start, rounds: [] }]))[1], [
    "tau: tokens emitted / rounds",
    "-",
    0,
    0,
  ]);
});
