/**
 * Checking a tree against the target: which path is accepted, and which token follows it. Lossless for
 * every sampling setting, shown by enumeration in `tests/decode/lossless_test.ts`. It runs no model and
 * keeps no cache. Next on the walk of a prompt: `generate.ts`, which keeps the accepted rows and goes on.
 */
import type { Random } from "../random.ts";
import { childrenOf, type Tree } from "./ancestry.ts";
import { draw } from "./sample.ts";

/** What a verification decides. */
export interface Verdict {
  /** Accepted nodes in order, the root not among them. */
  path: number[];
  /** The token after the last accepted node: drawn by the target itself. */
  next: number;
}

/** Where randomness enters. Tests replace it to enumerate every outcome. */
export interface Chance {
  /** True with the given probability. */
  accept(probability: number): boolean;
  /** An index drawn from p, normalised or not. */
  draw(p: Float64Array): number;
}

/** Chance from a stream of random numbers. */
export function chanceFrom(random: Random): Chance {
  return {
    accept: (probability) => random.uniform() < probability,
    draw: (p) => draw(p, random.uniform()),
  };
}

/** Greedy: follows the child equal to the target's choice after a node as long as there is one. */
export function verifyGreedy(tree: Tree, choice: (node: number) => number): Verdict {
  const children = childrenOf(tree.parents), path: number[] = [];
  for (let node = 0;;) {
    const next = choice(node), child = children[node].find((c) => tree.tokens[c] === next);
    if (child === undefined) return { path, next };
    path.push(child);
    node = child;
  }
}

/**
 * Sampling: at each node its children are tried in order; child x is accepted with probability p(x), else
 * p(x) is set to 0 and p renormalised. Without an accepted child the next token is drawn from what is left.
 * `distribution(node)` gives the *processed* distribution p [V] after that node, once for each node reached;
 * it is modified. At a leaf too the token comes from this p, never from unprocessed logits. What the draft
 * proposes cannot change what is emitted, provided the tree was fixed before the first decision.
 */
export function verifySampled(
  tree: Tree,
  distribution: (node: number) => Float64Array,
  { chance }: { chance: Chance },
): Verdict {
  const children = childrenOf(tree.parents), path: number[] = [];
  for (let node = 0;;) {
    const p = distribution(node);
    const accepted = tryChildren(children[node], { tree, p, chance });
    if (accepted === undefined) return { path, next: chance.draw(p) };
    path.push(accepted);
    node = accepted;
  }
}

/**
 * Recursive rejection (SpecInfer, Miao et al. 2024; Sequoia, Chen et al. 2024), for trees whose children were
 * *sampled* one after the other without replacement from the draft's distribution q = `drafted(node)`: child x is
 * accepted with probability min(1, p(x) / q(x)); otherwise p becomes the normalised positive part of p - q, x is
 * taken out of q, and the next child is tried. Lossless provided that how many children a node has was fixed before
 * they were sampled. Distributions given are modified.
 */
export function verifyDrawn(
  tree: Tree,
  distribution: (node: number) => Float64Array,
  { drafted, chance }: { drafted: (node: number) => Float64Array; chance: Chance },
): Verdict {
  const children = childrenOf(tree.parents), path: number[] = [];
  const follow = (node: number, p: Float64Array): number | undefined => {
    if (children[node].length === 0) return undefined;
    const q = drafted(node);
    for (const child of children[node]) {
      const x = tree.tokens[child];
      if (chance.accept(Math.min(1, p[x] / q[x]))) return child;
      reject(p, q, x);
    }
    return undefined;
  };
  for (let node = 0;;) {
    const p = distribution(node), accepted = follow(node, p);
    if (accepted === undefined) return { path, next: chance.draw(p) };
    path.push(accepted);
    node = accepted;
  }
}

/** What remains of p and q, both normalised, after a token drawn from q was rejected. */
function reject(p: Float64Array, q: Float64Array, token: number): void {
  let left = 0;
  for (let i = 0; i < p.length; i++) left += Math.max(0, p[i] - q[i]);
  // Rounding can reject although p = q; the chance is of the order of the rounding, and p stands for itself.
  if (left > 0) { for (let i = 0; i < p.length; i++) p[i] = Math.max(0, p[i] - q[i]) / left; }
  q[token] = 0;
  let rest = 0;
  for (let i = 0; i < q.length; i++) rest += q[i];
  if (rest > 0) { for (let i = 0; i < q.length; i++) q[i] /= rest; }
}

/** The accepted child, if any; otherwise p is left with the rejected tokens at 0, not normalised. */
function tryChildren(
  children: readonly number[],
  { tree, p, chance }: { tree: Tree; p: Float64Array; chance: Chance },
): number | undefined {
  for (const child of children) {
    const token = tree.tokens[child];
    // Excluded by the sampling settings, or rejected before under the same token: nothing to decide.
    if (!(p[token] > 0)) continue;
    // Renormalising is left to this sum, taken afresh: 1 - p(x) would lose its digits near 1, and the last
    // token that is possible gets exactly 1.
    let total = 0;
    for (let i = 0; i < p.length; i++) total += p[i];
    if (chance.accept(p[token] / total)) return child;
    p[token] = 0;
  }
  return undefined;
}
