/**
 * Recordings of drafts: along the target's own greedy text, for every token of it, what the draft says in a tree
 * rooted there. Greedy decoding with any tree visits some of these roots and no other, so what it would have done can
 * be looked up (`simulate.ts`) instead of decoded; in 32 bits it is the same, round for round. A draft in 8 bits rounds
 * its features, and the last digits of those depend on how many rows the target forwarded at once: log-probabilities
 * move by up to 0.05, and near ties may fall otherwise. Files of recordings: `recording_file.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import { Sequence } from "../decode/sequence.ts";
import type { TargetDecoder } from "../decode/target.ts";
import type { Candidates, Growth } from "../decode/tree.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import type { Draft } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";
import { jointGrowth } from "./joint_growth.ts";

/** What the draft says in a tree: E expanded nodes with k children each; child r of row e is number e k + r. */
export interface RecordedTree {
  /** Which child each row expands [E], in order of drafting; -1 the root, which is row 0. */
  expanded: Int32Array;
  /** Best first [E, k]. */
  tokens: Int32Array;
  /** -Infinity where a row has fewer children [E, k]. */
  logProbabilities: Float32Array;
}

/** One prompt's text and trees. */
export interface RecordedPrompt {
  id: string;
  promptTokens: number;
  /** The target's greedy text, followed by what it would write after the end: paths may be accepted beyond it. */
  text: Int32Array;
  /** Tokens before the end. */
  emitted: number;
  /** Rooted at each emitted token but the last. */
  trees: RecordedTree[];
}

/** Recorded prompts, all with k children a row. */
export interface Recording {
  branching: number;
  depth: number;
  prompts: RecordedPrompt[];
}

export interface RecordOptions {
  draft: Draft;
  backend: Backend;
  /** Rules whose trees are recorded completely. Others, with no more children, are as far as they agree. */
  growths: readonly Growth[];
  maxTokens?: number;
  /** Of the draft's matrices. */
  bits?: Bits;
  signal?: AbortSignal;
}

/** All candidates as rows of k children. */
export function toRows(
  { tokens, logProbabilities, parents, ranks }: Candidates,
  { branching: k }: { branching: number },
): RecordedTree {
  const expanded: number[] = [], number: number[] = [];
  parents.forEach((parent, c) => {
    const row = parent < 0 ? -1 : number[parent];
    if (expanded.length === 0 || expanded[expanded.length - 1] !== row) expanded.push(row);
    number.push((expanded.length - 1) * k + ranks[c]);
  });
  const tree: RecordedTree = {
    expanded: Int32Array.from(expanded),
    tokens: new Int32Array(expanded.length * k),
    logProbabilities: new Float32Array(expanded.length * k).fill(-Infinity),
  };
  number.forEach((at, c) => {
    tree.tokens[at] = tokens[c];
    tree.logProbabilities[at] = logProbabilities[c];
  });
  return tree;
}

/**
 * Records prompts, yielding each. The target decoder must tap what the draft reads.
 * @throws when the rules together expand more nodes of a level than are forwarded at once.
 */
export async function* recordDrafts(
  target: TargetDecoder,
  prompts: readonly { id: string; ids: Int32Array }[],
  { draft, backend, growths, maxTokens, bits, signal }: RecordOptions,
): AsyncGenerator<RecordedPrompt> {
  const growth = jointGrowth(growths), { branching } = growth;
  using drafter = new TreeDrafter(draft, { backend, target: target.target, growth, bits });
  const tapped = drafter.taps.length > 0;
  for (const { id, ids: prompt } of prompts) {
    using sequence = new Sequence(target, prompt, { maxTokens, signal });
    const { cache, ending, sampling, chance } = sequence, trees: RecordedTree[] = [];
    using drafting = drafter.begin({ first: prompt[0], sampling, chance });
    let rows = await target.prefill(prompt, cache), ids = prompt.slice(1);
    const text = [sequence.choose(rows.logits)];
    sequence.take(text);
    while (ending.reason === undefined) {
      // Row t of the draft reads feature t and the token after it.
      const news = {
        ids: Int32Array.of(...ids, text[text.length - 1]),
        features: tapped ? rows.tapped : rows.features,
      };
      await drafter.propose([{ drafting, news }]);
      trees.push(toRows(growth.grown!, { branching }));
      rows = await target.forwardChain(text.slice(-1), cache);
      ids = new Int32Array(0);
      text.push(sequence.choose(rows.logits));
      sequence.take(text.slice(-1));
    }
    if (ending.reason === "abort") return;
    const emitted = text.length;
    for (let i = 0; i < growth.depth; i++) {
      text.push(sequence.choose((await target.forwardChain(text.slice(-1), cache)).logits));
    }
    yield { id, promptTokens: prompt.length, text: Int32Array.from(text), emitted, trees };
  }
}
