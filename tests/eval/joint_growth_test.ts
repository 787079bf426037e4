/** Tests lib/eval/joint_growth.ts: what several rules expand together is what each expands alone, and nothing more. */
import assert from "node:assert/strict";
import { chainGrowth, dynamicGrowth, staticGrowth } from "../../lib/decode/growth.ts";
import { type Growth, growTree } from "../../lib/decode/tree.ts";
import { jointGrowth } from "../../lib/eval/joint_growth.ts";
import { random } from "../../lib/random.ts";

/** The path of tokens to every node expanded, of a draft whose answer is a function of that path. */
function expandedPaths(growth: Growth): string[] {
  const steps = growTree({ root: 7, growth }), k = growth.branching, all: string[] = [];
  let state = steps.next(), paths: string[] = [];
  while (!state.done) {
    const { level, tokens, featureRows } = state.value, last = paths;
    paths = Array.from(tokens, (t, i) => level === 0 ? "7" : `${last[featureRows[i]]} ${t}`);
    all.push(...paths);
    const answers = paths.map((path) => {
      const from = random(3, path);
      const children = Array.from({ length: 6 }, () => -3 * from.uniform()).sort((a, b) => b - a);
      return {
        tokens: from.shuffle([0, 1, 2, 3, 4, 5]).slice(0, k),
        children: children.slice(0, k),
      };
    });
    state = steps.next({
      tokens: answers.flatMap((a) => a.tokens),
      logProbabilities: answers.flatMap((a) => a.children),
    });
  }
  return all;
}

const RULES: Record<string, () => Growth> = {
  "dynamic 1": () => dynamicGrowth({ depth: 5, width: 1, budget: 4 }),
  "dynamic 3": () => dynamicGrowth({ depth: 4, width: 3, budget: 4 }),
  "dynamic 6": () => dynamicGrowth({ depth: 2, width: 6, budget: 64 }),
  "strict": () => dynamicGrowth({ depth: 6, width: 4, budget: 9 }, { minimumScore: -2 }),
  "chain": () => chainGrowth(3),
  "static": () => staticGrowth([[0], [1], [2], [2, 0], [2, 0, 0]]),
  "counting": () => ({
    ...dynamicGrowth({ depth: 3, width: 2, budget: 9 }),
    count: ({ depths }, parent) => parent < 0 ? 1 : 3 - depths[parent],
  }),
};

Deno.test("the union of what each rule expands is expanded, in any company", () => {
  const names = Object.keys(RULES), from = random(1, "company");
  for (let i = 0; i < 60; i++) {
    const some = i < names.length ? [names[i]] : from.shuffle([...names]).slice(0, 2 + i % 4);
    const together = expandedPaths(jointGrowth(some.map((name) => RULES[name]())));
    assert.equal(new Set(together).size, together.length, "a node is expanded once");
    const alone = new Set(some.flatMap((name) => expandedPaths(RULES[name]())));
    assert.deepEqual(new Set(together), alone, some.join(", "));
  }
});

Deno.test("rules differ in what they expand, so that a union is more than one of them", () => {
  const sizes = Object.values(RULES).map((make) => expandedPaths(make()).length);
  const all = expandedPaths(jointGrowth(Object.values(RULES).map((make) => make())));
  assert.ok(all.length > Math.max(...sizes), `${all.length} of ${sizes}`);
});

Deno.test("it has room for all of its rules, and tells what has grown", () => {
  const joint = jointGrowth([RULES["dynamic 6"](), RULES.strict()]);
  assert.deepEqual([joint.branching, joint.rows, joint.depth, joint.budget], [6, 10, 6, 64]);
  assert.equal(joint.grown, undefined);
  const paths = expandedPaths(joint);
  assert.equal(joint.grown!.tokens.length, 6 * paths.length);
  assert.throws(() => jointGrowth([]), /Cannot grow a tree by no rules/);
});
