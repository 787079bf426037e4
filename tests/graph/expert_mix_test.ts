/**
 * A mixture of experts against plain loops, and what is refused. Native = expansion is tested with all others:
 * `tests/backend/agreement_test.ts`.
 */
import assert from "node:assert/strict";
import { expandExpertMix, expertMix, expertShares } from "../../lib/graph/expert_mix.ts";
import type { Shape } from "../../lib/graph/node.ts";
import { constant, input } from "../../lib/graph/ops.ts";
import { countFlops } from "../../lib/graph/count.ts";
import { program } from "../../lib/graph/program.ts";
import { silu, times } from "../model/naive.ts";
import { assertClose } from "../tolerance.ts";
import { valueOf, values } from "./evaluate.ts";

const N = 5, D = 4, I = 3, E = 4, CHOSEN = 2;
const data = (shape: Shape, name: string) => Float32Array.from(values(shape, name));
const given = {
  x: data([N, D], "x"),
  scores: data([N, E], "scores"),
  up: data([E, 2 * I, D], "up"),
  down: data([E, D, I], "down"),
};
const nodes = {
  x: constant(given.x, [N, D]),
  scores: constant(given.scores, [N, E]),
  up: constant(given.up, [E, 2 * I, D]),
  down: constant(given.down, [E, D, I]),
};

/** The mixture of a row, expert by expert, those of highest scores alone. */
function mixed(row: number): number[] {
  const scores = [...given.scores.subarray(row * E, (row + 1) * E)];
  const best = scores.map((_, e) => e).sort((a, b) => scores[b] - scores[a]).slice(0, CHOSEN);
  const total = best.reduce((sum, e) => sum + Math.exp(scores[e]), 0);
  const out = new Array<number>(D).fill(0), x = given.x.subarray(row * D, (row + 1) * D);
  for (const e of best) {
    const both = times(given.up.subarray(e * 2 * I * D, (e + 1) * 2 * I * D), x);
    const gate = silu(both.filter((_, i) => i % 2 === 0)), up = both.filter((_, i) => i % 2 === 1);
    const y = times(given.down.subarray(e * D * I, (e + 1) * D * I), gate.map((g, i) => g * up[i]));
    y.forEach((v, i) => out[i] += v * Math.exp(scores[e]) / total);
  }
  return out;
}

Deno.test("rows go through the experts of highest scores, added by the softmax of those", async () => {
  const wanted = Array.from({ length: N }, (_, row) => mixed(row)).flat();
  const node = expertMix(nodes, { chosen: CHOSEN });
  for (const y of [node, expandExpertMix(node.inputs, { chosen: CHOSEN })[0]]) {
    assertClose(await valueOf(y), wanted, { what: "the mixture", shape: [N, D], a: 1e-10 });
  }
});

Deno.test("shares are 0 where an expert is not chosen, and add up to 1", async () => {
  const scores = constant(Float32Array.of(0, 1, 3, 2, -1, 2), [2, 3]);
  const share = 1 / (1 + Math.exp(-2));
  assertClose(await valueOf(expertShares(scores, 2)), [0, 1 - share, share, 0.5, 0, 0.5], {
    ...{ what: "shares", shape: [2, 3], a: 1e-12 },
  });
  assertClose(await valueOf(expertShares(scores, 1)), [0, 0, 1, 1, 0, 0], {
    ...{ what: "shares", shape: [2, 3], a: 0 },
  });
});

Deno.test("operations are counted of the chosen experts; sizes that disagree are refused", () => {
  const y = expertMix(nodes, { chosen: CHOSEN });
  assert.equal(countFlops(program({ y })), 2 * N * CHOSEN * 3 * D * I);
  assert.throws(() => expertMix(nodes, { chosen: 5 }), /Cannot mix 5 experts of 4: wanted 1 to 4/);
  assert.throws(
    () => expertMix({ ...nodes, up: input("up", [E, I, D]) }, { chosen: CHOSEN }),
    /Cannot mix experts: found \[4,3,4\], wanted \[4,6,4\]/,
  );
});
