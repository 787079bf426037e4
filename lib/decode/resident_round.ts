/**
 * A whole round as one Program: the draft reads what was accepted last, grows a tree, the target verifies it, the
 * accepted path is followed, caches are moved together. What the next round needs stays where it is computed; a host
 * that wants the tokens reads them when it likes. Models are not written again here: their decoding Programs are
 * parts of this one. Run by `resident_decoder.ts`.
 */
import { inline } from "../graph/inline.ts";
import { keepRows } from "../graph/keep_rows.ts";
import type { Node, Shape } from "../graph/node.ts";
import { add, cast, concat, fill, gather, input, reduce, reshape, sub } from "../graph/ops.ts";
import { type Program, program } from "../graph/program.ts";
import type { DraftConfig, TargetConfig } from "../model/config.ts";
import { draftProgram, featureWidth } from "../model/draft.ts";
import { targetProgram } from "../model/llama.ts";
import type { Stored } from "../model/quantize.ts";
import type { TreeShape } from "./tree.ts";
import {
  countTo,
  type Drafted,
  type Expansion,
  nodesOf,
  type ResidentTree,
  residentTree,
  treeBias,
} from "./resident_tree.ts";
import { acceptNodes, checkResident, chooseTokens, rootAlone } from "./resident_verify.ts";
import type { Sampling } from "./sample.ts";

/** What a round is built for. */
export interface RoundOptions {
  target: TargetConfig;
  /** Rows of the target's caches. */
  capacity: number;
  sampling: Sampling;
  /** How its weights are held. */
  stored?: Stored;
  /** Who proposes, and how large a tree; without it a round is a plain token. */
  drafting?: {
    draft: DraftConfig;
    capacity: number;
    stored?: Stored;
    shape: TreeShape;
  };
}

/** Prefix of the draft's weights and caches: both models have some of the same names. */
export const DRAFT = "draft.";

/** Tokens that a round emits at most: a path of the tree and one more. */
export function longestRound({ drafting }: RoundOptions): number {
  if (drafting === undefined) return 1;
  return 1 + Math.min(drafting.shape.depth, nodesOf(drafting.shape) - 1);
}

/** What goes from round to round beside the caches. */
export interface RoundState {
  /** Rows of the target's caches in use. */
  length: Shape;
  /** Tokens that the round before emitted, the newest last at `count` - 1: the next tree's root. */
  ids: Shape;
  count: Shape;
  /** With a draft: features of the rows that these tokens follow. */
  features?: Shape;
}

export function stateShapes(options: RoundOptions): RoundState {
  const longest = longestRound(options), { drafting } = options;
  return {
    length: [1],
    ids: [longest],
    count: [1],
    ...(drafting && { features: [longest, featureWidth(drafting.draft)] }),
  };
}

/** The draft's Program as a function of nodes; its caches go from call to call. */
class Drafting {
  caches: Record<string, Node> = {};
  constructor(readonly options: NonNullable<RoundOptions["drafting"]>) {}

  forward(
    given: Record<string, Node> & { ids: Node },
    kind: { reads: "target" | "draft"; only?: "last" },
  ): Drafted {
    const { draft, capacity, stored, shape: { width } } = this.options;
    const rows = given.ids.shape[1];
    const own = draftProgram(draft, { rows, capacity, width, stored, ...kind });
    const rest = Object.keys(own.inputs).filter((name) => given[name] === undefined);
    const renamed = rest.map((name) => {
      const { shape, dtype } = own.inputs[name];
      return [name, this.caches[name] ?? input(`${DRAFT}${name}`, shape, dtype)];
    });
    const { outputs, updates } = inline(own, { ...given, ...Object.fromEntries(renamed) });
    this.caches = updates;
    return outputs as Record<keyof Drafted, Node>;
  }

  /** Reads the accepted rows, of which `count` count, behind those read before. */
  read({ ids, features, count, length }: Record<string, Node>): Drafted {
    const { capacity } = this.options, [rows] = ids.shape, at = sub(length, count);
    return this.forward({
      ids: reshape(ids, [1, rows]),
      features,
      positions: reshape(add(at, countTo(rows)), [1, rows]),
      length: at,
      bias: fill(0, [1, 1, rows, capacity]),
      last: sub(count, 1),
    }, { reads: "target", only: "last" });
  }

  expand({ tokens, features, level, sees }: Expansion, length: Node): Drafted {
    const { capacity } = this.options, [rows, seen] = sees.shape;
    return this.forward({
      ids: reshape(tokens, [1, rows]),
      features,
      positions: reshape(add(length, fill(level - 1, [rows], "i32")), [1, rows]),
      length: add(length, seen - rows),
      bias: treeBias(sees, { prefix: length, capacity }),
    }, { reads: "draft" });
  }
}

/**
 * Program of a round: states as in {@link stateShapes}, caches and, above temperature 0, `uniforms` [C]: the number
 * that decides the token at each position of the text, so that a text does not depend on what was drafted. Outputs
 * `told` i32 [R + 2] (emitted tokens, how many count, the tree's deepest level), `tokens` and `parents` i32 [N].
 * @throws when sampling wants more than the device chooses by.
 */
export function roundProgram(options: RoundOptions): Program {
  const { target, capacity, sampling, drafting, stored } = options;
  checkResident(sampling);
  const longest = longestRound(options), taps = drafting?.draft.taps ?? [];
  const length = input("length", [1], "i32"), count = input("count", [1], "i32");
  const ids = input("ids", [longest], "i32"), root = gather(ids, sub(count, 1));
  let tree: ResidentTree = rootAlone(root);
  const updates: Record<string, Node> = {};
  if (drafting !== undefined) {
    const draft = new Drafting(drafting), wide = featureWidth(drafting.draft);
    const features = input("features", [longest, wide]);
    const drafted = draft.read({ ids, features, count, length });
    const expand = (rows: Expansion) => draft.expand(rows, length);
    tree = residentTree({ root, drafted, shape: drafting.shape, expand });
    for (const [name, cache] of Object.entries(draft.caches)) updates[`${DRAFT}${name}`] = cache;
  }
  const { tokens, parents, ancestors, depths } = tree, [n] = tokens.shape;
  const verified = inline(targetProgram(target, { rows: n, capacity, taps, stored }), {
    ids: reshape(tokens, [1, n]),
    positions: reshape(add(length, depths), [1, n]),
    length,
    bias: treeBias(ancestors, { prefix: length, capacity }),
  });
  const { logits, features, tapped } = verified.outputs;
  const uniforms = sampling.temperature === 0
    ? fill(0, [n]) // The choice at a node is the token of the position after it.
    : gather(input("uniforms", [capacity]), add(add(length, depths), 1));
  const choices = chooseTokens(logits, { sampling, uniforms });
  const accepted = acceptNodes(tree, { choices, longest });
  const offsets = accepted.nodes;
  for (const [name, cache] of Object.entries(verified.updates)) {
    updates[name] = n === 1 ? cache : keepRows(cache, { from: length, offsets });
  }
  if (drafting !== undefined) {
    updates.features = gather(taps.length > 0 ? tapped : features, offsets);
  }
  updates.length = add(length, accepted.count);
  updates.ids = accepted.tokens;
  updates.count = accepted.count;
  const deepest = cast(reduce("max", cast(depths, "f32"), { axes: [0], keep: true }), "i32");
  const told = concat([accepted.tokens, accepted.count, deepest], 0);
  return program({ told, tokens, parents }, { updates });
}
