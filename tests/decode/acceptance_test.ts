/** What is learned of acceptance: frequencies by class, the draft's word before, less exact classes between. */
import assert from "node:assert/strict";
import { Acceptance, CERTAIN, ChildProfile } from "../../lib/decode/acceptance.ts";
import { random } from "../../lib/random.ts";

/** The root with two children of these probabilities; the first has a child like itself. */
function tree(first: number, second: number) {
  const [a, b] = [Math.log(first), Math.log(second)];
  return { parents: Int32Array.of(-1, 0, 0, 1), scores: Float32Array.of(0, a, b, 2 * a) };
}

Deno.test("before anything was seen the draft is taken at its word", () => {
  const acceptance = new Acceptance();
  for (const p of [0.9, 0.5, 0.05]) {
    const estimate = acceptance.estimate({ logProbability: Math.log(p), rank: 0, depth: 2 });
    assert.ok(Math.abs(estimate - p) < 1e-12);
  }
});

Deno.test("estimates go to the frequencies, apart by rank and by depth", () => {
  const acceptance = new Acceptance(), from = random(3, "acceptance");
  const is = { first: 0, second: 0, deeper: 0, reached: 0 }, rounds = 3000;
  for (let i = 0; i < rounds; i++) {
    const u = from.uniform();
    // The first is right in 7 of 10 rounds, the second in 2; below the first, 4 of 10.
    if (u < 0.7) {
      const deeper = from.uniform() < 0.4;
      acceptance.observe(tree(0.5, 0.3), deeper ? [1, 3] : [1]);
      is.first++;
      if (deeper) is.deeper++;
    } else if (u < 0.9) {
      acceptance.observe(tree(0.5, 0.3), [2]);
      is.second++;
    } else acceptance.observe(tree(0.5, 0.3), []);
  }
  const at = (p: number, rank: number, depth: number) =>
    acceptance.estimate({ logProbability: Math.log(p), rank, depth });
  assert.ok(Math.abs(at(0.5, 0, 1) - is.first / rounds) < 0.03, `${at(0.5, 0, 1)}`);
  assert.ok(Math.abs(at(0.3, 1, 1) - is.second / rounds) < 0.03, `${at(0.3, 1, 1)}`);
  assert.ok(Math.abs(at(0.5, 0, 2) - is.deeper / is.first) < 0.03, `${at(0.5, 0, 2)}`);
  // A depth that was never seen takes what all depths say of this rank and probability.
  const all = (is.first + is.deeper) / (rounds + is.first);
  assert.ok(Math.abs(at(0.5, 0, 4) - all) < 0.03, `${at(0.5, 0, 4)} against ${all}`);
});

Deno.test("children of rejected nodes teach nothing", () => {
  const acceptance = new Acceptance();
  for (let i = 0; i < 100; i++) acceptance.observe(tree(0.8, 0.1), []);
  const deep = acceptance.estimate({ logProbability: Math.log(0.8), rank: 0, depth: 2 });
  const only = new Acceptance();
  for (let i = 0; i < 100; i++) {
    const { parents, scores } = tree(0.8, 0.1);
    only.observe({ parents: parents.slice(0, 3), scores: scores.slice(0, 3) }, []);
  }
  assert.equal(deep, only.estimate({ logProbability: Math.log(0.8), rank: 0, depth: 2 }));
});

Deno.test("what was long ago is forgotten", () => {
  const acceptance = new Acceptance(),
    standing = { logProbability: Math.log(0.5), rank: 0, depth: 1 };
  for (let i = 0; i < 10000; i++) acceptance.observe(tree(0.5, 0.3), [1]);
  for (let i = 0; i < 5000; i++) acceptance.observe(tree(0.5, 0.3), []);
  const estimate = acceptance.estimate(standing);
  assert.ok(estimate < 0.1, `${estimate} although the last 5000 were rejected`);
});

Deno.test("profiles of children are means of their class, by weight", () => {
  const profile = new ChildProfile(2), before = [...profile.after(0.6)];
  for (let i = 0; i < 400; i++) {
    profile.observe(0.99, { chance: 0.95, rank: 0, weight: 1 });
    profile.observe(0.99, { chance: 0.02, rank: 1, weight: 1 });
    profile.observe(CERTAIN, { chance: i % 2, rank: 0, weight: 1 });
  }
  assert.ok(Math.abs(profile.after(0.98)[0] - 0.95) < 0.01);
  assert.ok(Math.abs(profile.after(0.98)[1] - 0.02) < 0.01);
  assert.ok(Math.abs(profile.after(CERTAIN)[0] - 0.5) < 0.01);
  assert.deepEqual([...profile.after(0.6)], before);
});
