/** Two evaluations: which prompts are pairs, differences whose truth is known, and what stands on the page. */
import assert from "node:assert/strict";
import {
  bothPlaces,
  compareSuites,
  evaluationComparison,
  pairedDifference,
  pairsOf,
  settingDifferences,
} from "../../lib/report/comparison.ts";
import { tau } from "../../lib/eval/metrics.ts";
import { renderPage } from "../../lib/report/page.ts";
import { SOMEWHERE, storedEvaluation } from "./stored_runs.ts";

/** Very different prompts; B has one round less in each: 4 tokens a round instead of 2. */
const A = storedEvaluation({ p: [2, 2], q: [2, 2, 2, 2, 2, 2], r: [2, 2, 2, 2] });
const B = storedEvaluation({ r: [4, 4], q: [4, 4, 4], p: [4], s: [9] });
const OPTIONS = { names: ["one", "two"], warnings: ["they differ"] } as const;

Deno.test("pairs are prompts of the same id and length, in A's order", () => {
  assert.deepEqual(pairsOf("ours", [A, B]).map((p) => [p.a.id, p.b.id]), [
    ["p", "p"],
    ["q", "q"],
    ["r", "r"],
  ]);
  const longer = structuredClone(B);
  longer.details![0].results[0].promptTokens++;
  assert.deepEqual(pairsOf("ours", [A, longer]).map((p) => p.a.id), ["p", "q"]);
  assert.deepEqual(pairsOf("ours", [A, { ...B, details: undefined }]), []);
  assert.deepEqual(pairsOf("other", [A, B]), []);
});

Deno.test("a constant difference has an interval of no width, however much prompts differ", () => {
  const found = pairedDifference(
    pairsOf("ours", [A, B]),
    (rs) => tau(rs.map((r) => r.speculative)).value,
  );
  assert.deepEqual(found, { value: 2, low: 2, high: 2 });
  const [suite] = compareSuites([A, B]);
  assert.deepEqual([suite.pairs, suite.prompts, suite.sameText], [3, [3, 4], 3]);
  // A round takes 10 ms, a plain token too: twice the tokens a round is twice the speed.
  assert.deepEqual(suite.differences.speedup, { value: 2, low: 2, high: 2 });
  assert.deepEqual(suite.differences["plain tokens/s"], { value: 0, low: 0, high: 0 });
});

Deno.test("the page: warnings first, both and the difference, settings that differ", async () => {
  const other = { ...B, settings: { ...B.settings, tree: "8/6/2" } };
  const page = evaluationComparison([A, other], OPTIONS);
  const [before, result, prompts, settings] = page.sections;
  assert.deepEqual(before.warnings, ["they differ"]);
  assert.deepEqual(result.table!.slice(1).map((row) => [row[0], row[1], row[4]]), [
    ["ours", "tau", "+2.00 [2.00, 2.00]"],
    ["ours", "speedup", "+2.00 [2.00, 2.00]"],
    ["ours", "tokens/s", "+200.00 [200.00, 200.00]"],
    ["ours", "plain tokens/s", "0.00 [0.00, 0.00]"],
  ]);
  // Of all prompts that each asked: 24 tokens in 12 rounds; 4 a round, and one round of 9.
  assert.match(String(result.table![1][2]), /^2\.00 \[/);
  assert.match(String(result.table![1][3]), /^4\.71 \[/);
  assert.deepEqual(prompts.table![1], ["ours", 3, 4, 3, "3/3"]);
  assert.deepEqual(settings.table!.slice(1), [["tree", "not recorded", "8/6/2"]]);
  assert.equal(result.figures!.length, 2);
  assert.match(await renderPage(page), /<ul class="warnings"><li>they differ<\/li><\/ul>/);
});

Deno.test("without common prompts there is no difference, and the page says why", () => {
  const older = { ...B, details: undefined };
  const [, result] = evaluationComparison([A, older], OPTIONS).sections;
  assert.match(result.text!, /Without differences, .*: ours/);
  assert.ok(result.table![1].includes("-"));
  assert.equal(result.figures!.length, 0);
  const elsewhere = storedEvaluation({ p: [2] }, { suite: "gsm8k" });
  const [, none] = evaluationComparison([A, elsewhere], OPTIONS).sections;
  assert.match(none.text!, /In one run only: ours \(one\), gsm8k \(two\)/);
});

Deno.test("settings and places: what is the same once, what differs with both values", () => {
  assert.deepEqual(settingDifferences([{ a: 1, b: 2, c: "x" }, { a: 1, b: 3, d: true }]), [
    ["b", "2", "3"],
    ["c", "x", "not recorded"],
    ["d", "not recorded", "true"],
  ]);
  const place = bothPlaces([SOMEWHERE, { ...SOMEWHERE, cpu: "slide rule", cores: NaN }]);
  assert.equal(place.cpu, "abacus | slide rule");
  assert.equal(String(place.cores), "2 | not recorded");
  assert.equal(place.deno, "0.0.0");
});
