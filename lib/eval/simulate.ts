/**
 * Greedy decoding without models: trees are grown by the rule that decoding uses, the draft's answers are looked up
 * in a recording, and what the target accepts is read off its recorded text. Priced with measured costs, the rounds
 * become a predicted `Generation`, which `metrics.ts` reads like a real one.
 */
import { depthsOf, type Tree } from "../decode/ancestry.ts";
import { costOf, type Costs } from "../decode/pricing.ts";
import { type Frontier, type Grown, type Growth, growTree, type TopK } from "../decode/tree.ts";
import { verifyGreedy } from "../decode/verify.ts";
import type { Generation } from "./metrics.ts";
import type { RecordedPrompt, RecordedTree, Recording } from "./recording.ts";

/** One round as it would have been. */
export interface SimulatedRound {
  /** Rows the draft read. */
  read: number;
  /** Nodes expanded on each level below the root. */
  expanded: number[];
  drafted: number;
  depth: number;
  accepted: number;
  emitted: number;
  /** Nodes to be expanded that the recording does not hold: the tree lacks their children. */
  missed: number;
}

/** One prompt. */
export interface SimulatedPrompt {
  tokens: number[];
  rounds: SimulatedRound[];
}

/** Answers frontiers from a recorded tree. */
class Answers {
  missed = 0;
  #tree: RecordedTree;
  #k: number;
  /** The row that expands each child recorded as expanded. */
  #rowOf: Map<number, number>;
  /** Row of each node of the last frontier; -1 where it is not recorded. */
  #rows: number[] = [];

  constructor(tree: RecordedTree, { branching }: { branching: number }) {
    this.#tree = tree;
    this.#k = branching;
    this.#rowOf = new Map(Array.from(tree.expanded, (child, row) => [child, row]));
  }

  #find(token: number, parent: number): number {
    if (parent < 0) return -1;
    const from = parent * this.#k, { tokens } = this.#tree;
    for (let child = from; child < from + this.#k; child++) {
      if (tokens[child] === token) return this.#rowOf.get(child) ?? -1;
    }
    return -1;
  }

  /** The first `k` children of each node of a frontier; none of nodes that are not recorded. */
  answer({ level, tokens, featureRows }: Frontier, { k }: { k: number }): TopK {
    const last = this.#rows;
    const rows = level === 0
      ? [0]
      : Array.from(tokens, (token, i) => this.#find(token, last[featureRows[i]]));
    const found = {
      tokens: new Int32Array(rows.length * k),
      logProbabilities: new Float32Array(rows.length * k).fill(-Infinity),
    };
    rows.forEach((row, i) => {
      if (row < 0) {
        this.missed++;
        return;
      }
      const from = row * this.#k, { tokens, logProbabilities } = this.#tree;
      found.tokens.set(tokens.subarray(from, from + k), i * k);
      found.logProbabilities.set(logProbabilities.subarray(from, from + k), i * k);
    });
    this.#rows = rows;
    return found;
  }
}

/** The tree that a rule grows from a recorded one, and how many nodes it wanted expanded that are not recorded. */
export function growRecorded(
  recorded: RecordedTree,
  { root, growth, branching }: { root: number; growth: Growth; branching: number },
): { grown: Grown; missed: number } {
  const steps = growTree({ root, growth }), answers = new Answers(recorded, { branching });
  let state = steps.next();
  while (!state.done) state = steps.next(answers.answer(state.value, { k: growth.branching }));
  return { grown: state.value, missed: answers.missed };
}

/** Nodes of a tree that greedy verification accepts when this text follows the root. */
function acceptedPath(tree: Tree, following: Int32Array): number[] {
  const depths = depthsOf(tree.parents);
  return verifyGreedy(tree, (node) => following[depths[node]]).path;
}

/**
 * Decodes a recorded prompt. The rule learns from the rounds if it does so.
 * @throws when it takes more children of a node than were recorded.
 */
export function simulatePrompt(
  { text, emitted: end, promptTokens, trees }: RecordedPrompt,
  { growth, branching }: { growth: Growth; branching: number },
): SimulatedPrompt {
  if (growth.branching > branching) {
    throw new Error(
      `Cannot simulate trees of ${growth.branching} children a node: ${branching} were recorded`,
    );
  }
  const rounds: SimulatedRound[] = [];
  for (let at = 0, read = promptTokens; at < end - 1;) {
    const { grown, missed } = growRecorded(trees[at], { root: text[at], growth, branching });
    const path = acceptedPath(grown.tree, text.subarray(at + 1)), accepted = path.length;
    growth.learn?.(grown, path);
    const emitted = Math.min(accepted + 1, end - 1 - at);
    rounds.push({
      read,
      expanded: grown.expanded,
      drafted: grown.tree.tokens.length - 1,
      depth: depthsOf(grown.tree.parents).reduce((a, b) => Math.max(a, b)),
      accepted,
      emitted,
      missed,
    });
    at += emitted;
    read = accepted + 1;
  }
  return { tokens: [...text.subarray(0, end)], rounds };
}

/** Decodes all recorded prompts, in order. */
export function simulate({ prompts, branching }: Recording, growth: Growth): SimulatedPrompt[] {
  return prompts.map((prompt) => simulatePrompt(prompt, { growth, branching }));
}

/** What a simulation could not look up: nodes to be expanded, and rounds with such nodes, each of how many. */
export interface Misses {
  nodes: number;
  ofNodes: number;
  rounds: number;
  ofRounds: number;
}

/** Counts what was not looked up. */
export function countMisses(simulated: readonly SimulatedPrompt[]): Misses {
  const rounds = simulated.flatMap((s) => s.rounds);
  return {
    nodes: rounds.reduce((sum, { missed }) => sum + missed, 0),
    ofNodes: rounds.reduce((sum, { expanded }) => sum + expanded.reduce((a, b) => a + b, 1), 0),
    rounds: rounds.filter(({ missed }) => missed > 0).length,
    ofRounds: rounds.length,
  };
}

/** What decoding would have recorded at these costs. Prefill is not predicted. */
export function predict({ tokens, rounds }: SimulatedPrompt, costs: Costs): Generation {
  const priced = rounds.map(({ read, expanded, drafted, depth, accepted, emitted }) => ({
    emitted,
    drafted,
    depth,
    accepted,
    draftMs: expanded.reduce((ms, n) => ms + costOf(costs.expand, n), costOf(costs.read, read)),
    verifyMs: costOf(costs.verify, drafted + 1),
    sampleMs: costs.host,
    hostMs: 0,
  }));
  const decodeMs = priced.reduce((ms, r) => ms + r.draftMs + r.verifyMs + r.sampleMs, 0);
  return { tokens, prefillMs: 0, decodeMs, rounds: priced };
}
