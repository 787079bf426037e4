/** `deno task train`: a draft, step by step, from shards made by `deno task data`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Device, openBackend } from "../backend/choose.ts";
import { openExamples } from "../data/features.ts";
import { onlineExamples } from "../data/online.ts";
import { decodePrompts, estimateTau, promptsOf } from "../eval/tau.ts";
import { checkDraftConfig } from "../model/config.ts";
import { countParameters } from "../model/draft.ts";
import { type Draft, loadFrozen, loadTarget } from "../model/load.ts";
import type { StepEvent, ValidationEvent } from "../report/events.ts";
import { initialDraft } from "../train/initial.ts";
import { checkRecipe } from "../train/recipe.ts";
import { trainSteps } from "../train/steps.ts";
import { frequentTokens } from "../train/vocabulary.ts";
import { runCommand } from "./command.ts";
import { TARGET_OPTION } from "./models.ts";
import { DEVICE_OPTION } from "./decoding_options.ts";
import { Progress } from "./progress.ts";
import {
  dataThing,
  environmentOf,
  openTrainingRecord,
  QUESTION_OPTION,
  readDataCommand,
  targetThing,
} from "./run_record.ts";
import { draftConfigOf, recipesOf, TRAINING_OPTIONS } from "./training_options.ts";
import { openWatchers, WATCHING_OPTIONS } from "./watchers.ts";

/** The tree that tau is measured with while training: the shipped default. */
const TREE = { depth: 6, width: 2, budget: 8 }, MINIMUM_SCORE = -6;

/** Loss and accuracy of each pass, for the progress line. */
function note({ loss, passes, tokensPerSecond }: StepEvent): string {
  const share = (x: number) => (100 * x).toFixed(0);
  const tops = passes.map((p) => `${share(p.top1)}/${share(p.top3)}`).join(" ");
  return `loss ${loss.toFixed(3)} top-1/3 % ${tops} ${tokensPerSecond.toFixed(0)} tokens/s`;
}

function describe({ step, loss, passes, tau, best }: ValidationEvent): string {
  const tops = passes.map((p) => (100 * p.top1).toFixed(1)).join(" ");
  const length = tau === undefined
    ? ""
    : `, tau ${tau.value.toFixed(2)} [${tau.low.toFixed(2)}, ${tau.high.toFixed(2)}]${
      best ? ", the best so far" : ""
    }`;
  return `update ${step}: validation loss ${loss.toFixed(3)}, top-1 % ${tops}${length}`;
}

/** What needs the target itself, beside its embedding and head. */
function whyTargetRuns(
  { online, count }: { online: boolean; count: number },
): string | undefined {
  if (online) return "--features online";
  return count > 0 ? `--tau-prompts ${count}` : undefined;
}

await runCommand({
  name: "train",
  summary: "train a draft in steps of 1, 2, 3 ... passes, or as a published baseline",
  options: {
    target: TARGET_OPTION,
    data: { type: "string", default: "runs/data", describe: "folder made by deno task data" },
    out: { type: "string", describe: "folder of the run [runs/PRESET]" },
    features: {
      type: "string",
      choices: ["disk", "online"],
      default: "disk",
      describe: "features as stored, or computed by the target while training",
    },
    device: DEVICE_OPTION,
    frozen: {
      type: "string",
      choices: ["f32", "f16"],
      default: "f32",
      describe:
        "how the target's embedding and LM head, read and never updated, are held in memory: f16 " +
        "halves them; the target itself is then not loaded, so not online, and tau is not measured",
    },
    limit: { type: "integer", minimum: 1, describe: "train on the first examples only [all]" },
    ...TRAINING_OPTIONS,
    ...WATCHING_OPTIONS,
    "tau-prompts": {
      type: "integer",
      minimum: 0,
      describe:
        "validation prompts decoded to measure tau; the best draft by it is kept; 0 for none " +
        "[8; 0 with --frozen f16]",
    },
    "checkpoint-every": { type: "integer", minimum: 1, default: 200, describe: "updates" },
    "validate-every": { type: "integer", minimum: 1, default: 200, describe: "updates" },
    question: QUESTION_OPTION,
  },
}, async (options, { say, result, ran, signal }) => {
  const out = options.out ?? join("runs", options.preset);
  const recipes = recipesOf(options);
  const half = options.frozen === "f16", count = options["tau-prompts"] ?? (half ? 0 : 8);
  const online = options.features === "online", runs = whyTargetRuns({ online, count });
  if (half && runs !== undefined) {
    throw new Error(
      `Cannot train with --frozen f16 and ${runs}: the target then runs, and holds both matrices in f32, ` +
        "of which f16 would be a second copy",
    );
  }
  const { backend, reason } = await openBackend(options.device as Device);
  using resources = new DisposableStack();
  resources.use(backend);
  if (options.device !== "cpu") say(`device: ${reason}`);
  const held = join(options.data, "validation"), validates = existsSync(held);
  // The target as a whole only where it runs.
  const whole = online || (count > 0 && validates)
    ? await loadTarget(options.target, { backend, half: false })
    : undefined;
  const target = whole ?? await loadFrozen(options.target, { backend, half });
  const config = draftConfigOf(options, target);
  checkDraftConfig(config);
  for (const recipe of recipes) checkRecipe(recipe, config);
  const { limit } = options, { taps } = config;
  const stored = await openExamples(join(options.data, "train"), { limit });
  const aside = validates ? await openExamples(held) : undefined;
  const source = online ? { target: whole!, backend, taps } : undefined;
  const examples = source ? onlineExamples(stored, source) : stored;
  const validation = source && aside ? onlineExamples(aside, source) : aside;
  const parameters = countParameters(config), size = (parameters / 1e6).toFixed(2);
  say(`draft of ${size} M parameters, ${examples.count} examples`);
  const { draftVocabulary, vocabulary } = config;
  const tokens = draftVocabulary === undefined
    ? undefined
    : frequentTokens(stored, { size: draftVocabulary, vocabulary });
  const prompts = aside === undefined || count === 0 ? undefined : promptsOf(aside, { count });
  const measureTau = prompts && (async (draft: Draft) => {
    const decoding = { target: whole!, backend, prompts, tree: TREE, minimumScore: MINIMUM_SCORE };
    return estimateTau(await Array.fromAsync(decodePrompts(draft, decoding)));
  });

  const { question } = options, dataCommand = await readDataCommand(options.data);
  const record = await openTrainingRecord(out, {
    ...(question !== undefined && { question }),
    command: ran(["out", "question", ...Object.keys(WATCHING_OPTIONS)]),
    environment: await environmentOf(backend),
    inputs: {
      target: await targetThing(target),
      data: dataThing(stored),
      ...(aside !== undefined && { validation: dataThing(aside) }),
    },
    ...(dataCommand !== undefined && { dataCommand }),
  });
  let read = 0;

  const draft = initialDraft(config, { seed: options.seed, tokens });
  const finals: Record<string, unknown>[] = [];
  const watchers = await openWatchers(options, { out, recipes, say });
  let status: "FINISHED" | "KILLED" | "FAILED" = "FAILED";
  let last: ValidationEvent | undefined, progress: Progress | undefined;
  try {
    for await (
      const staged of trainSteps(draft, recipes, {
        backend,
        target,
        examples,
        validation,
        folder: out,
        checkpointEvery: options["checkpoint-every"],
        validateEvery: options["validate-every"],
        measureTau,
        signal,
      })
    ) {
      const { stage, event } = staged;
      await watchers.write(staged);
      if (event.type === "step") {
        await record.begin(); // only now: a run that is refused leaves nothing behind
        read += event.tokens;
        const { step: done, total, secondsLeft } = event;
        progress ??= new Progress(`step ${stage}`);
        progress.update(done, { total, note: note(event), secondsLeft });
      } else if (event.type === "validation") {
        last = event;
        progress?.[Symbol.dispose](); // the line that is drawn ends before another is written
        progress = undefined;
        say(describe(event));
      } else if (event.type === "finished") {
        progress?.[Symbol.dispose]();
        progress = undefined;
        say(`step ${stage}: ${event.path}${event.before ? " exists" : ""}`);
        const { passes } = recipes[stage - 1];
        finals.push({ step: stage, passes, draft: event.path, validation: last });
        last = undefined;
      }
    }
    status = signal.aborted ? "KILLED" : "FINISHED";
  } finally {
    progress?.[Symbol.dispose]();
    if (read > 0) await record.finish(read);
    await watchers.finish(status);
  }
  if (signal.aborted) say("stopped; the same command continues");
  else result({ target: target.identity, preset: options.preset, parameters, steps: finals });
});
