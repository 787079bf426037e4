/**
 * Speculative decoding of random targets and drafts over tiny vocabularies with every outcome of every decision
 * enumerated, and its distance from the target's own distribution. Faults can be put in, to see that the comparison
 * can fail. Not a test itself; the tests of losslessness use it.
 */
import assert from "node:assert/strict";
import { childrenOf, type Tree } from "../../lib/decode/ancestry.ts";
import { DrawnChildren } from "../../lib/decode/draw_children.ts";
import type { Proposal } from "../../lib/decode/drafter.ts";
import { processLogits, type Sampling } from "../../lib/decode/sample.ts";
import { type Frontier, type Growth, growTree, type TopK } from "../../lib/decode/tree.ts";
import { type Chance, type Verdict, verifyDrawn, verifySampled } from "../../lib/decode/verify.ts";
import { random } from "../../lib/random.ts";

/** Who proposes trees after a prefix whose last token is the root, and hears what became of them. */
export interface Proposer {
  propose: (prefix: readonly number[], chance: Chance) => Proposal;
  learn?: (proposal: Proposal, verdict: Verdict) => void;
}

export interface Setting {
  vocabulary: number;
  /** Tokens compared. */
  length: number;
  sampling: Sampling;
  seed: number;
  /** A proposer as at the start of a text. */
  proposer: () => Proposer;
  /** Whether it learns from rounds: then texts are enumerated whole, not round by round. */
  learns?: boolean;
}

export type Fault =
  | "none"
  | "unprocessed at leaves"
  | "rejected tokens stay"
  | "drawn as if fixed"
  | "fixed as if drawn";

export const PLAIN: Sampling = { temperature: 1, topK: 0, topP: 1 };

/** Every combination of settings. */
export const SAMPLINGS: Sampling[] = [0, 0.3, 0.7, 1, 1.5].flatMap((temperature) =>
  [0, 2].flatMap((topK) =>
    [1, 0.7].flatMap((topP) =>
      [1, 1.3].map((repetitionPenalty) => ({ temperature, topK, topP, repetitionPenalty }))
    )
  )
);

export function logitsAfter(
  prefix: readonly number[],
  { name, seed, vocabulary }: { name: string; seed: number; vocabulary: number },
): Float32Array {
  const key = `${name} ${seed} ${vocabulary} ${prefix.join(" ")}`;
  let known = LOGITS.get(key);
  if (known === undefined) {
    const from = random(seed, name, ...prefix);
    known = Float32Array.from({ length: vocabulary }, () => 1.5 * from.normal());
    LOGITS.set(key, known);
  }
  return known;
}

const LOGITS = new Map<string, Float32Array>();

/** The target's processed distribution after a prefix. */
export function targetAfter(
  prefix: readonly number[],
  setting: Setting,
  sampling = setting.sampling,
): Float64Array {
  const p = new Float64Array(setting.vocabulary);
  processLogits(logitsAfter(prefix, { ...setting, name: "target" }), sampling, p, prefix);
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

/** One round after `prefix`: the tokens it emits. */
function round(
  prefix: readonly number[],
  { setting, proposer, chance, fault }: {
    setting: Setting;
    proposer: Proposer;
    chance: Chance;
    fault: Fault;
  },
): number[] {
  const proposal = proposer.propose(prefix, chance), { tree } = proposal;
  const children = childrenOf(tree.parents);
  let fresh = new Float64Array();
  const distribution = (node: number) => {
    const leaf = children[node].length === 0;
    const sampling = leaf && fault === "unprocessed at leaves" ? PLAIN : setting.sampling;
    const p = targetAfter([...prefix, ...pathTo(tree, node)], setting, sampling);
    fresh = p.slice();
    return p;
  };
  const own = fault !== "rejected tokens stay" ? chance : {
    accept: (p: number) => chance.accept(p),
    draw: () => chance.draw(fresh),
  };
  const drafted = fault === "drawn as if fixed"
    ? undefined
    : fault === "fixed as if drawn"
    ? (node: number) => draftAfter([...prefix, ...pathTo(tree, node)], setting)
    : proposal.drafted;
  const verdict = drafted === undefined
    ? verifySampled(tree, distribution, { chance: own })
    : verifyDrawn(tree, distribution, { drafted, chance: own });
  proposer.learn?.(proposal, verdict);
  return [...verdict.path.map((node) => tree.tokens[node]), verdict.next];
}

function pathTo({ tokens, parents }: Tree, node: number): number[] {
  const path: number[] = [];
  for (let i = node; i > 0; i = parents[i]) path.unshift(tokens[i]);
  return path;
}

/** What `once` gives in all outcomes, with their probabilities. */
function enumerate(once: (chance: Chance) => readonly number[]): Map<string, number> {
  const found = new Map<string, number>(), chance = new Enumeration();
  let total = 0;
  do {
    const text = once(chance).join(" ");
    found.set(text, (found.get(text) ?? 0) + chance.probability);
    total += chance.probability;
  } while (chance.next());
  assert.ok(Math.abs(total - 1) < 1e-9, `the outcomes' probabilities sum to ${total}`);
  return found;
}

const numbers = (text: string) => text.split(" ").map(Number);

/** The distribution of the first `length` tokens of speculative decoding. */
function emitted(setting: Setting, fault: Fault): Map<string, number> {
  const { length } = setting, first = targetAfter([], setting);
  if (setting.learns) {
    return enumerate((chance) => {
      const proposer = setting.proposer(), tokens = [chance.draw(first.slice())];
      while (tokens.length < length) {
        tokens.push(...round(tokens, { setting, proposer, chance, fault }));
      }
      return tokens.slice(0, length);
    });
  }
  // Rounds that learn nothing depend on the prefix alone.
  const proposer = setting.proposer(), texts = new Map<string, number>();
  const open = new Map<string, number>(Array.from(first, (p, token) => [`${token}`, p]));
  for (const [prefix, p] of open) {
    open.delete(prefix);
    const tokens = numbers(prefix);
    if (tokens.length >= length) {
      const text = tokens.slice(0, length).join(" ");
      texts.set(text, (texts.get(text) ?? 0) + p);
    } else if (p > 0) {
      const outcomes = enumerate((chance) => round(tokens, { setting, proposer, chance, fault }));
      for (const [more, q] of outcomes) {
        const whole = `${prefix} ${more}`;
        open.set(whole, (open.get(whole) ?? 0) + p * q);
      }
    }
  }
  return texts;
}

/** Total variation between what speculation emits and what the target alone would. */
export function distance(setting: Setting, fault: Fault = "none"): number {
  const found = emitted(setting, fault);
  let sum = 0;
  const compare = (prefix: number[], p: number) => {
    if (prefix.length === setting.length) {
      sum += Math.abs(p - (found.get(prefix.join(" ")) ?? 0));
      return;
    }
    targetAfter(prefix, setting).forEach((q, token) => compare([...prefix, token], p * q));
  };
  compare([], 1);
  return sum / 2;
}

/** Checks that nothing is lost with any of these settings. */
export function assertLossless(
  setting: Omit<Setting, "sampling" | "proposer">,
  samplings: readonly Sampling[],
  proposer: (sampling: Sampling) => () => Proposer,
): void {
  for (const sampling of samplings) {
    const tv = distance({ ...setting, sampling, proposer: proposer(sampling) });
    assert.ok(tv < 1e-9, `total variation ${tv} at ${JSON.stringify(sampling)}`);
  }
}

/** The draft's distribution after a prefix, as its children are drawn from. */
function draftAfter(prefix: readonly number[], setting: Setting): Float64Array {
  const q = new Float64Array(setting.vocabulary);
  processLogits(logitsAfter(prefix, { ...setting, name: "draft" }), setting.sampling, q, prefix);
  return q;
}

interface Draft {
  seed: number;
  vocabulary: number;
}

/** Trees of the draft's best tokens, grown as in decoding. */
export function bestTrees({ seed, vocabulary }: Draft, growth: Growth): Proposer {
  const { branching: k } = growth;
  const top = (prefix: readonly number[]): TopK => {
    const logits = logitsAfter(prefix, { seed, vocabulary, name: "draft" });
    const p = new Float64Array(vocabulary);
    processLogits(logits, PLAIN, p);
    const tokens = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, k);
    return { tokens, logProbabilities: tokens.map((t) => Math.log(p[t])) };
  };
  return grown(growth, (prefix) => {
    const rows: number[][] = [];
    return ({ level, tokens, ancestors }) => {
      const paths = Array.from(
        tokens,
        (token, row) =>
          level === 0 ? [] : [...Array.from(ancestors[row], (a) => rows[a].at(-1)!), token],
      );
      if (level > 0) rows.push(...paths);
      const all = paths.map((path) => top([...prefix, ...path]));
      return {
        tokens: all.flatMap(({ tokens }) => Array.from(tokens)),
        logProbabilities: all.flatMap((t) => Array.from(t.logProbabilities)),
      };
    };
  });
}

/** Trees of tokens drawn from the draft's processed distribution, as in decoding. */
export function drawnTrees(
  { seed, vocabulary, sampling }: Draft & { sampling: Sampling },
  growth: Growth,
): Proposer {
  return grown(growth, (prefix, chance) => {
    const drawn = new DrawnChildren({ sampling, chance, text: prefix, vocabulary });
    let answered: Frontier | undefined;
    return Object.assign((frontier: Frontier) => {
      if (answered !== undefined) drawn.follow(answered, frontier);
      answered = frontier;
      const logits = (_: number, path: readonly number[]) =>
        logitsAfter([...prefix, ...path], { seed, vocabulary, name: "draft" });
      return drawn.draw(frontier, { branching: growth.branching, logits });
    }, { from: (candidate: number) => drawn.from(candidate) });
  });
}

type Answer = ((frontier: Frontier) => TopK) & { from?: (candidate: number) => Float64Array };

function grown(
  growth: Growth,
  answers: (prefix: readonly number[], chance: Chance) => Answer,
): Proposer {
  const of = new WeakMap<Proposal, Parameters<NonNullable<Growth["learn"]>>[0]>();
  return {
    propose(prefix, chance) {
      const answer = answers(prefix, chance), steps = growTree({ root: prefix.at(-1)!, growth });
      let state = steps.next();
      while (!state.done) state = steps.next(answer(state.value));
      const { tree, kept } = state.value, { from } = answer;
      const proposal: Proposal = from === undefined
        ? { tree }
        : { tree, drafted: (node) => from(node === 0 ? -1 : kept[node - 1]) };
      of.set(proposal, state.value);
      return proposal;
    },
    learn: (proposal, { path }) => growth.learn?.(of.get(proposal)!, path),
  };
}
