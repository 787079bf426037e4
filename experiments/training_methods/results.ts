/** What the experiment found: one entry a method, with the counts that every number can be made from again. */
import { bootstrap } from "../../lib/mod.ts";
import { BASE } from "./config.ts";

/** Counts of one prompt: tokens emitted after prefill, target forwards. */
export type Counts = readonly [emitted: number, forwards: number];

/** One trained and measured method. */
export interface MethodResult {
  name: string;
  parameters: number;
  /** Tokens of training data read, and how often a token went through the draft. */
  tokens: number;
  passes: readonly number[];
  updates: number;
  /** Time in the training loop, validation and checkpoints left out. */
  trainingSeconds: number;
  /** Top-1 accuracy of each pass of the last step on validation data. */
  top1: number[];
  /** By tree: a pair a prompt, in the order of the prompts. */
  counts: Record<string, Counts[]>;
}

export interface Results {
  settings: unknown;
  target: string;
  methods: MethodResult[];
}

const ratio = (counts: readonly Counts[]) =>
  counts.reduce((n, [emitted]) => n + emitted, 0) / counts.reduce((n, [, f]) => n + f, 0);

/** A number with its 95 % interval over prompts. */
export interface Estimate {
  value: number;
  low: number;
  high: number;
}

/** tau of a method on a tree. */
export function tauOf({ counts }: MethodResult, tree: string): Estimate {
  return { value: ratio(counts[tree]), ...bootstrap(counts[tree], ratio) };
}

/** tau of a method minus that of the base, prompt by prompt the same ones drawn. */
export function differenceOf(
  method: MethodResult,
  base: MethodResult,
  tree: string,
): Estimate {
  const pairs = method.counts[tree].map((own, i) => [own, base.counts[tree][i]] as const);
  const difference = (drawn: typeof pairs) =>
    ratio(drawn.map(([own]) => own)) - ratio(drawn.map(([, other]) => other));
  return { value: difference(pairs), ...bootstrap(pairs, (drawn) => difference([...drawn])) };
}

const show = ({ value, low, high }: Estimate, sign = "") =>
  `${value > 0 ? sign : ""}${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;

/** Rows of the table, heading first. */
export function tableOf({ methods }: Results): string[][] {
  const trees = Object.keys(methods[0]?.counts ?? {}), base = methods.find((m) => m.name === BASE);
  const heading = trees.flatMap((tree) => [`tau, ${tree}`, `against ${BASE}`]);
  const rows = methods.map((m) => [
    m.name,
    m.passes.join("+"),
    `${(m.parameters / 1e6).toFixed(2)} M`,
    `${Math.round(m.tokens / 1000)} k`,
    ...trees.flatMap((tree) => {
      if (base === undefined || m === base) return [show(tauOf(m, tree)), ""];
      const apart = differenceOf(m, base, tree), clear = apart.low > 0 || apart.high < 0;
      return [show(tauOf(m, tree)), `${show(apart, "+")}${clear ? " *" : ""}`];
    }),
  ]);
  return [["method", "passes", "parameters", "tokens", ...heading], ...rows];
}
