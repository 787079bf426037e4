/**
 * Speculative decoding of several prompts, as many at a time as the target decoder was made for: their trees are
 * verified in one forward, each over a cache of its own, so each is as lossless as alone. Where one ends the next
 * prompt takes its place. Plain decoding in batches is the same with `NO_DRAFTER`.
 */
import type { Random } from "../random.ts";
import type { GenerationEvent, RoundEvent } from "../report/events.ts";
import { depthsOf } from "./ancestry.ts";
import type { Drafter, Drafting, News, Proposal } from "./drafter.ts";
import { type GenerateOptions, Sequence } from "./sequence.ts";
import type { TargetDecoder, TargetRows } from "./target.ts";

/** Settings of speculative decoding of several prompts. */
export interface BatchOptions extends Omit<GenerateOptions, "random"> {
  // deno-lint-ignore no-explicit-any -- what a drafter keeps of a sequence is its own affair
  drafter: Drafter<any, any>;
  /** Rounds tell their tree and what the target said of it. */
  trace?: boolean;
  /** Random numbers of each prompt, by its index; needed when the temperature is above 0. */
  random?: (index: number) => Random;
}

/** An event of one of the prompts. Times of a round are those of all sequences that took part. */
export interface BatchEvent {
  index: number;
  event: GenerationEvent;
}

interface Live {
  index: number;
  sequence: Sequence;
  drafting: Drafting;
  news: News;
  resources: DisposableStack;
}

/**
 * Decodes all prompts; events of each come in order, and of those decoded together in turn.
 * @throws when a prompt or a setting does not fit the target (see {@link Sequence}), or the drafter reads layers
 * that the target decoder does not tap.
 */
export async function* speculateAll(
  target: TargetDecoder,
  prompts: readonly Int32Array[],
  { drafter, trace = false, random, ...options }: BatchOptions,
): AsyncGenerator<BatchEvent> {
  const { taps } = drafter;
  if (`${taps}` !== `${target.taps}` && taps.length > 0) {
    throw new Error(
      `Cannot speculate: the draft reads layers [${taps}], this target decoder taps [${target.taps}]`,
    );
  }
  target.checkTree(drafter.budget);
  // What the draft reads of each target row.
  const read = ({ features, tapped }: TargetRows) => taps.length > 0 ? tapped : features;
  let live: Live[] = [], begun = 0;
  async function* begin(): AsyncGenerator<BatchEvent> {
    const index = begun++, prompt = prompts[index], before = performance.now();
    using resources = new DisposableStack();
    const sequence = new Sequence(target, prompt, { ...options, random: random?.(index) });
    resources.use(sequence);
    const { sampling, chance, ending } = sequence;
    const drafting = resources.use(drafter.begin({ first: prompt[0], sampling, chance }));
    const start = await target.prefill(prompt, sequence.cache),
      first = sequence.choose(start.logits);
    const tokens = sequence.take([first]);
    yield { index, event: { type: "prefill", tokens, ms: performance.now() - before } };
    if (ending.reason !== undefined) {
      yield { index, event: { type: "end", reason: ending.reason } };
      return;
    }
    // Row t of the draft reads feature t and the token after it.
    const news = { ids: Int32Array.of(...prompt.subarray(1), first), features: read(start) };
    live.push({ index, sequence, drafting, news, resources: resources.move() });
  }
  try {
    for (;;) {
      while (live.length < target.sequences && begun < prompts.length) yield* begin();
      if (live.length === 0) return;
      const before = performance.now();
      const proposals: Proposal[] = await drafter.propose(live);
      const drafted = performance.now();
      const rows = await target.forwardTrees(
        live.map(({ sequence: { cache } }, i) => ({ tree: proposals[i].tree, cache })),
      );
      const verified = performance.now();
      const verdicts = live.map(({ sequence }, i) => sequence.verify(proposals[i], rows[i].logits));
      const chosen = performance.now();
      let telling = 0; // not the decoding's time
      const rounds = live.map((one, i): Omit<RoundEvent, "hostMs"> => {
        const { sequence } = one, { tree } = proposals[i], verdict = verdicts[i];
        const asked = performance.now();
        const told = trace && { trace: sequence.trace(tree, rows[i].logits, verdict) };
        telling += performance.now() - asked;
        const emitted = [...verdict.path.map((node) => tree.tokens[node]), verdict.next];
        const kept = [0, ...verdict.path];
        sequence.cache.keep(kept);
        one.news = { ids: Int32Array.from(emitted), features: pick(read(rows[i]), kept, tree) };
        drafter.learn?.(proposals[i], verdict);
        return {
          type: "round",
          tokens: sequence.take(emitted),
          drafted: tree.tokens.length - 1,
          depth: depthsOf(tree.parents).reduce((a, b) => Math.max(a, b)),
          accepted: verdict.path.length,
          draftMs: drafted - before,
          verifyMs: verified - drafted,
          sampleMs: chosen - verified,
          ...told,
        };
      });
      const hostMs = performance.now() - chosen - telling, together = live;
      live = together.filter(({ sequence }) => sequence.ending.reason === undefined);
      const over = together.filter((one) => !live.includes(one));
      for (const { resources } of over) resources.dispose();
      for (const [i, { index, sequence: { ending: { reason } } }] of together.entries()) {
        yield { index, event: { ...rounds[i], hostMs } };
        if (reason !== undefined) yield { index, event: { type: "end", reason } };
      }
    }
  } finally {
    for (const { resources } of live) resources.dispose();
  }
}

/** The rows of these nodes from all nodes' rows [N, F], copied: the next forward overwrites them. */
function pick(
  rows: Float32Array,
  nodes: readonly number[],
  { tokens }: { tokens: Int32Array },
): Float32Array {
  const wide = rows.length / tokens.length, picked = new Float32Array(nodes.length * wide);
  nodes.forEach((node, i) => picked.set(rows.subarray(node * wide, (node + 1) * wide), i * wide));
  return picked;
}
