/**
 * Lossless, shown rather than sampled: every outcome of speculative decoding is enumerated with its
 * probability and compared with the target's own distribution. Target and draft are random functions of the
 * prefix over a tiny vocabulary. Faults are injected to see that the comparison can fail.
 */
import assert from "node:assert/strict";
import { childrenOf, type Tree } from "../../lib/decode/ancestry.ts";
import { argmax, processLogits, type Sampling } from "../../lib/decode/sample.ts";
import { growTree, type TopK, type TreeShape } from "../../lib/decode/tree.ts";
import { type Chance, verifyGreedy, verifySampled } from "../../lib/decode/verify.ts";
import { random } from "../../lib/random.ts";

interface Setting {
  vocabulary: number;
  /** Tokens compared. */
  length: number;
  sampling: Sampling;
  seed: number;
  /** The tree drafted after a prefix whose last token is the root. */
  tree: (prefix: readonly number[]) => Promise<Tree>;
}

function logitsAfter(
  prefix: readonly number[],
  { name, seed, vocabulary }: { name: string; seed: number; vocabulary: number },
): Float32Array {
  const from = random(seed, name, ...prefix);
  return Float32Array.from({ length: vocabulary }, () => 1.5 * from.normal());
}

const PLAIN: Sampling = { temperature: 1, topK: 0, topP: 1 };

function targetAfter(prefix: readonly number[], setting: Setting, sampling = setting.sampling) {
  const p = new Float64Array(setting.vocabulary);
  processLogits(logitsAfter(prefix, { ...setting, name: "target" }), sampling, p);
  return p;
}

/** Chance that replays decisions and multiplies their probabilities; `next` turns to the next outcome. */
class Enumeration implements Chance {
  probability = 1;
  #taken: { options: { value: number; p: number }[]; at: number }[] = [];
  #decision = 0;

  #decide(options: { value: number; p: number }[]): number {
    if (this.#decision === this.#taken.length) {
      this.#taken.push({ options: options.filter(({ p }) => p > 0), at: 0 });
    }
    const { options: open, at } = this.#taken[this.#decision++];
    this.probability *= open[at].p;
    return open[at].value;
  }

  accept(p: number): boolean {
    assert.ok(p >= 0 && p <= 1, `accept was asked for probability ${p}`);
    return this.#decide([{ value: 1, p }, { value: 0, p: 1 - p }]) === 1;
  }

  draw(p: Float64Array): number {
    const total = p.reduce((a, b) => a + b);
    return this.#decide(Array.from(p, (x, value) => ({ value, p: x / total })));
  }

  next(): boolean {
    this.probability = 1;
    this.#decision = 0;
    while (this.#taken.length > 0) {
      const last = this.#taken[this.#taken.length - 1];
      if (++last.at < last.options.length) return true;
      this.#taken.pop();
    }
    return false;
  }
}

type Fault = "none" | "unprocessed at leaves" | "rejected tokens stay";

/** One outcome: the first `length` tokens after the prompt, over as many rounds as it takes. */
async function speculateOnce(setting: Setting, chance: Chance, fault: Fault): Promise<number[]> {
  const tokens = [chance.draw(targetAfter([], setting))];
  while (tokens.length < setting.length) {
    const tree = await setting.tree(tokens), children = childrenOf(tree.parents);
    let fresh = new Float64Array();
    const distribution = (node: number) => {
      const drafted: number[] = [];
      for (let i = node; i > 0; i = tree.parents[i]) drafted.unshift(tree.tokens[i]);
      const leaf = children[node].length === 0;
      const sampling = leaf && fault === "unprocessed at leaves" ? PLAIN : setting.sampling;
      const p = targetAfter([...tokens, ...drafted], setting, sampling);
      fresh = p.slice();
      return p;
    };
    const faulty = fault !== "rejected tokens stay" ? chance : {
      accept: (p: number) => chance.accept(p),
      draw: () => chance.draw(fresh),
    };
    const { path, next } = verifySampled(tree, distribution, { chance: faulty });
    tokens.push(...path.map((node) => tree.tokens[node]), next);
  }
  return tokens.slice(0, setting.length);
}

/** Total variation between what speculation emits and what the target alone would. */
async function distance(setting: Setting, fault: Fault = "none"): Promise<number> {
  const emitted = new Map<string, number>(), chance = new Enumeration();
  let total = 0;
  do {
    const text = (await speculateOnce(setting, chance, fault)).join(" ");
    emitted.set(text, (emitted.get(text) ?? 0) + chance.probability);
    total += chance.probability;
  } while (chance.next());
  assert.ok(Math.abs(total - 1) < 1e-9, `the outcomes' probabilities sum to ${total}`);
  let sum = 0;
  const compare = (prefix: number[], p: number) => {
    if (prefix.length === setting.length) {
      sum += Math.abs(p - (emitted.get(prefix.join(" ")) ?? 0));
      return;
    }
    targetAfter(prefix, setting).forEach((q, token) => compare([...prefix, token], p * q));
  };
  compare([], 1);
  return sum / 2;
}

/** Trees of a random draft, grown as in decoding; one per prefix, kept. */
function dynamicTrees(
  { seed, vocabulary, shape }: { seed: number; vocabulary: number; shape: TreeShape },
): Setting["tree"] {
  const top = (prefix: readonly number[]): TopK => {
    const logits = logitsAfter(prefix, { seed, vocabulary, name: "draft" });
    const p = new Float64Array(vocabulary);
    processLogits(logits, PLAIN, p);
    const tokens = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, shape.width);
    return { tokens, logProbabilities: tokens.map((t) => Math.log(p[t])) };
  };
  return kept((prefix) => {
    const rows: number[][] = [];
    return growTree({ root: prefix[prefix.length - 1], first: top(prefix), shape }, (frontier) => {
      const level = Array.from(frontier.tokens, (token, row) => [
        ...Array.from(frontier.ancestors[row], (a) => rows[a].at(-1)!),
        token,
      ]);
      rows.push(...level);
      const all = level.map((drafted) => top([...prefix, ...drafted]));
      return {
        tokens: all.flatMap(({ tokens }) => Array.from(tokens)),
        logProbabilities: all.flatMap((t) => Array.from(t.logProbabilities)),
      };
    });
  });
}

/** Arbitrary trees, siblings with the same token included. */
function randomTrees({ seed, vocabulary }: { seed: number; vocabulary: number }): Setting["tree"] {
  return kept((prefix) => {
    const from = random(seed, "tree", ...prefix), size = 1 + from.integer(6);
    const node = (i: number) => i === 0 ? prefix[prefix.length - 1] : from.integer(vocabulary);
    return Promise.resolve({
      tokens: Int32Array.from({ length: size }, (_, i) => node(i)),
      parents: Int32Array.from({ length: size }, (_, i) => i === 0 ? -1 : from.integer(i)),
      scores: new Float32Array(size),
    });
  });
}

function kept(make: Setting["tree"]): Setting["tree"] {
  const trees = new Map<string, Promise<Tree>>();
  return (prefix) => {
    const name = prefix.join(" "), tree = trees.get(name) ?? make(prefix);
    trees.set(name, tree);
    return tree;
  };
}

const SAMPLINGS = [0, 0.3, 0.7, 1, 1.5].flatMap((temperature) =>
  [0, 2].flatMap((topK) => [1, 0.7].map((topP): Sampling => ({ temperature, topK, topP })))
);

const SHAPES: { vocabulary: number; length: number; shape: TreeShape }[] = [
  { vocabulary: 4, length: 4, shape: { depth: 2, width: 2, budget: 5 } },
  { vocabulary: 5, length: 3, shape: { depth: 3, width: 3, budget: 7 } },
  { vocabulary: 6, length: 3, shape: { depth: 2, width: 1, budget: 3 } },
];

for (const { vocabulary, length, shape } of SHAPES) {
  const { depth, width, budget } = shape;
  const name = `vocabulary ${vocabulary}, tree ${budget}/${depth}/${width}, ${length} tokens`;
  Deno.test(`speculative sampling emits the target's distribution: ${name}`, async () => {
    const seed = 100 + vocabulary, tree = dynamicTrees({ seed, vocabulary, shape });
    for (const sampling of SAMPLINGS) {
      const tv = await distance({ vocabulary, length, sampling, seed, tree });
      assert.ok(tv < 1e-9, `total variation ${tv} at ${JSON.stringify(sampling)}`);
    }
  });
}

Deno.test("arbitrary trees, repeated siblings included, change nothing", async () => {
  for (let seed = 0; seed < 5; seed++) {
    const vocabulary = 4, tree = randomTrees({ seed, vocabulary });
    for (const sampling of SAMPLINGS) {
      const tv = await distance({ vocabulary, length: 3, sampling, seed, tree });
      assert.ok(tv < 1e-9, `total variation ${tv} at ${JSON.stringify(sampling)}, seed ${seed}`);
    }
  }
});

Deno.test("the comparison sees an extra token drawn from unprocessed logits", async () => {
  const seed = 104, vocabulary = 4, shape = SHAPES[0].shape;
  const tree = dynamicTrees({ seed, vocabulary, shape });
  const faulty = (sampling: Sampling) =>
    distance({ vocabulary, length: 4, sampling, seed, tree }, "unprocessed at leaves");
  for (
    const sampling of [
      { temperature: 0.7, topK: 0, topP: 1 },
      { temperature: 1.5, topK: 0, topP: 1 },
      { temperature: 1, topK: 2, topP: 1 },
      { temperature: 1, topK: 0, topP: 0.7 },
    ]
  ) {
    const tv = await faulty(sampling);
    assert.ok(tv > 1e-3, `total variation ${tv} at ${JSON.stringify(sampling)} went unseen`);
  }
  // With nothing to process there is no fault.
  assert.ok(await faulty(PLAIN) < 1e-9);
});

Deno.test("the comparison sees rejected tokens that stay in the distribution", async () => {
  const seed = 104, vocabulary = 4, shape = SHAPES[0].shape;
  const tree = dynamicTrees({ seed, vocabulary, shape });
  const setting = { seed, vocabulary, length: 3, sampling: PLAIN, tree };
  assert.ok(await distance(setting, "rejected tokens stay") > 1e-3);
});

Deno.test("greedy speculation emits the target's greedy text", async () => {
  const vocabulary = 6, shape = { depth: 3, width: 3, budget: 10 };
  let accepted = 0;
  for (let seed = 0; seed < 20; seed++) {
    const tree = dynamicTrees({ seed, vocabulary, shape });
    const choice = (prefix: number[]) =>
      argmax(logitsAfter(prefix, { seed, vocabulary, name: "target" }));
    const plain: number[] = [], tokens = [choice([])];
    while (plain.length < 12) plain.push(choice(plain));
    while (tokens.length < 12) {
      const drafted = await tree(tokens), texts = Array.from(drafted.tokens, () => tokens.slice());
      for (let i = 1; i < texts.length; i++) {
        texts[i] = [...texts[drafted.parents[i]], drafted.tokens[i]];
      }
      const { path, next } = verifyGreedy(drafted, Int32Array.from(texts, choice));
      accepted += path.length;
      tokens.push(...path.map((node) => drafted.tokens[node]), next);
    }
    assert.deepEqual(tokens.slice(0, 12), plain);
  }
  assert.ok(accepted > 20, `only ${accepted} tokens were accepted: the test shows little`);
});
