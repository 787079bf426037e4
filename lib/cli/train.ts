/** `deno task train`: a GRIFFIN draft, step by step, from shards made by `deno task data`. */
import { appendFile, mkdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { openExamples } from "../data/features.ts";
import { writeFolderAtomic } from "../io/atomic.ts";
import type { DraftConfig } from "../model/config.ts";
import { countParameters } from "../model/draft.ts";
import { type Draft, loadTarget, readDraft, writeDraft } from "../model/load.ts";
import type { StepEvent } from "../report/events.ts";
import { DEFAULT_RECIPE, LOSS_WEIGHTS, type Recipe } from "../train/recipe.ts";
import { initialDraft, train } from "../train/train.ts";
import { runCommand } from "./command.ts";
import { Progress } from "./progress.ts";

/** Loss and accuracy of each pass, for the progress line. */
function note({ loss, passes, tokensPerSecond }: StepEvent): string {
  const share = (x: number) => (100 * x).toFixed(0);
  const tops = passes.map((p) => `${share(p.top1)}/${share(p.top3)}`).join(" ");
  return `loss ${loss.toFixed(3)} top-1/3 % ${tops} ${tokensPerSecond.toFixed(0)} tokens/s`;
}

await runCommand({
  name: "train",
  summary: "train a GRIFFIN draft in steps of 1, 2, 3 ... passes",
  options: {
    target: { type: "string", default: "data/target", describe: "target folder" },
    data: { type: "string", default: "runs/data", describe: "folder made by deno task data" },
    out: { type: "string", default: "runs/griffin", describe: "folder of the run" },
    steps: { type: "integer", minimum: 1, default: 3, describe: "train steps 1 to this" },
    epochs: { type: "string", default: "6,3,3", describe: "epochs of each step" },
    "learning-rate": { type: "string", default: "1e-3,5e-4,3e-4", describe: "of each step" },
    inner: { type: "integer", minimum: 16, default: 704, describe: "inner width of the draft" },
    fusion: {
      type: "string",
      choices: ["tgf", "linear"],
      default: "tgf",
      describe: "fusion block",
    },
    head: { type: "string", choices: ["dual", "single"], default: "dual", describe: "draft head" },
    mask: {
      type: "string",
      choices: ["paper", "upstream", "none"],
      default: "paper",
      describe: "alignment mask",
    },
    k: { type: "integer", minimum: 1, default: 3, describe: "top k of the alignment mask" },
    weights: {
      type: "string",
      choices: ["code", "paper"],
      default: "code",
      describe: "loss weights",
    },
    noise: { type: "number", minimum: 0, default: 0.1, describe: "half-width of feature noise" },
    rows: { type: "integer", minimum: 64, default: 1024, describe: "tokens of a batch" },
    seed: { type: "integer", default: 0, describe: "of initial weights, order and noise" },
    "checkpoint-every": { type: "integer", minimum: 1, default: 200, describe: "updates" },
  },
}, async (options, { say, result, signal }) => {
  using backend = await openOnnxBackend();
  const target = await loadTarget(options.target, { backend }), { config: sizes } = target;
  const examples = await openExamples(join(options.data, "train"));
  const held = join(options.data, "validation");
  const validation = existsSync(held) ? await openExamples(held) : undefined;
  const perStep = (text: string, name: string) =>
    Array.from({ length: options.steps }, (_, i) => {
      const value = Number(text.split(",").at(i) ?? text.split(",").at(-1));
      if (!(value > 0)) {
        throw new Error(`--${name} is ${text}, wanted positive numbers with commas`);
      }
      return value;
    });
  const epochs = perStep(options.epochs, "epochs");
  const rates = perStep(options["learning-rate"], "learning-rate");
  const config: DraftConfig = {
    width: sizes.width,
    inner: options.inner,
    heads: sizes.heads,
    kvHeads: sizes.kvHeads,
    headSize: sizes.headSize,
    vocabulary: sizes.vocabulary,
    positions: sizes.positions,
    epsilon: sizes.epsilon,
    ropeTheta: sizes.ropeTheta,
    fusion: options.fusion as DraftConfig["fusion"],
    head: options.head as DraftConfig["head"],
    target: target.identity,
  };
  say(
    `draft of ${
      (countParameters(config) / 1e6).toFixed(2)
    } M parameters, ${examples.count} examples`,
  );
  let draft: Draft = initialDraft(config, { seed: options.seed });
  const finals: Record<string, unknown>[] = [];
  for (let step = 1; step <= options.steps; step++) {
    const folder = join(options.out, `step-${step}`), final = join(folder, "draft");
    if (existsSync(final)) {
      draft = await readDraft(final, { target });
      say(`step ${step}: ${final} exists`);
      continue;
    }
    const recipe: Recipe = {
      ...DEFAULT_RECIPE,
      passes: step,
      mask: options.mask as Recipe["mask"],
      alignK: options.k,
      weights: LOSS_WEIGHTS[options.weights as keyof typeof LOSS_WEIGHTS],
      noise: options.noise,
      epochs: epochs[step - 1],
      learningRate: rates[step - 1],
      rows: options.rows,
      seed: options.seed,
    };
    using progress = new Progress(`step ${step}`);
    const run = train(draft, {
      backend,
      target,
      examples,
      validation,
      recipe,
      folder: join(folder, "checkpoints"),
      checkpointEvery: options["checkpoint-every"],
      validateEvery: options["checkpoint-every"],
      signal,
    });
    let last: unknown;
    for (let next = await run.next();; next = await run.next()) {
      if (next.done) {
        draft = next.value;
        break;
      }
      const event = next.value;
      // Made only now: a run that is refused leaves nothing behind.
      await mkdir(folder, { recursive: true });
      await appendFile(join(folder, "metrics.jsonl"), `${JSON.stringify(event)}\n`);
      if (event.type === "step") {
        const { step: done, total, secondsLeft } = event;
        progress.update(done, { total, note: note(event), secondsLeft });
      } else if (event.type === "validation") last = event;
    }
    if (signal.aborted) {
      say(`stopped in step ${step}; the same command continues`);
      return;
    }
    await writeFolderAtomic(
      final,
      (temporary) => writeDraft(temporary, { ...draft, dtype: "F16" }),
    );
    say(`step ${step}: ${final}`);
    finals.push({ step, draft: final, validation: last });
  }
  result({ target: target.identity, parameters: countParameters(config), steps: finals });
});
