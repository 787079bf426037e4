/**
 * What a training step on a device holds and takes with the pages of its attention, and with the attention's expansion
 * instead, which has a T x T matrix of weights in memory. Bytes are those of buffers, which the backend counts: exact,
 * and the peak, since a program's temporaries are made when it is compiled. Called by `lib/cli/bench_attention.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import type { OpName } from "../graph/node.ts";
import type { DraftConfig } from "../model/config.ts";
import { DEFAULT_RECIPE } from "../train/recipe.ts";
import { trainingProgram } from "../train/step.ts";
import { randomInputs } from "./training.ts";

/** What is run as its expansion for comparison. */
export const ATTENTION_OPS: ReadonlySet<OpName> = new Set<OpName>([
  "streamAttention",
  "streamAttentionGradient",
]);
export const ATTENTION_LENGTHS = [256, 512, 1024, 2048];

/** The draft that is measured: heads of 64, so that attention is what grows. */
const CONFIG: DraftConfig = {
  width: 256,
  inner: 688,
  heads: 4,
  kvHeads: 4,
  headSize: 64,
  vocabulary: 512,
  positions: 2048,
  epsilon: 1e-6,
  ropeTheta: 10000,
  fusion: "tgf",
  head: "dual",
};

/** One step. */
export interface AttentionRow {
  length: number;
  passes: number;
  /** Bytes of the step's program and inputs on the device. */
  bytes: number;
  /** The quickest of the timed runs. */
  ms: number;
  loss: number;
}

/** A step that is ready, and what it holds on the device. */
export interface OpenStep extends Disposable {
  bytes: number;
  /** Makes a step and returns its loss. */
  run: () => Promise<number>;
}

/** Compiles a step on one example of T tokens. */
export async function openStep(
  backend: Backend & { readonly bytes: number },
  { length, passes }: { length: number; passes: number },
): Promise<OpenStep> {
  using resources = new DisposableStack();
  const before = backend.bytes, recipe = { ...DEFAULT_RECIPE, passes };
  const program = trainingProgram(CONFIG, { recipe, shape: { batch: 1, length } });
  const executable = resources.use(await backend.compile(program));
  const { ids: large, ...inputs } = randomInputs(backend, program);
  for (const tensor of Object.values(inputs)) resources.use(tensor);
  large[Symbol.dispose](); // of a larger vocabulary
  const few = Int32Array.from({ length }, (_, i) => (i * 7919) % CONFIG.vocabulary);
  const ids = resources.use(backend.tensor(few, large.shape)), bytes = backend.bytes - before;
  const opened = resources.move();
  return {
    bytes,
    run: async () => (await (await executable.run({ ...inputs, ids })).loss.read())[0],
    [Symbol.dispose]: () => opened.dispose(),
  };
}

/** Makes some steps; the first, in which shaders are compiled, is not timed. */
export async function measureAttention(
  backend: Backend & { readonly bytes: number },
  { length, passes = 3, rounds = 2 }: { length: number; passes?: number; rounds?: number },
): Promise<AttentionRow> {
  using step = await openStep(backend, { length, passes });
  const loss = await step.run();
  let ms = Infinity;
  for (let i = 0; i < rounds; i++) {
    const began = performance.now();
    await step.run();
    ms = Math.min(ms, performance.now() - began);
  }
  return { length, passes, bytes: step.bytes, ms, loss };
}
