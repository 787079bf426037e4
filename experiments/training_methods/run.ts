/**
 * Trains and measures every method, each once: a run that is stopped goes on where it was. Prints the table, writes
 * `results.json` and the page. `--table` prints from what is in the repository.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  countParameters,
  decodePrompts,
  DEFAULT_RECIPE,
  type DraftConfig,
  eagle3Taps,
  encodePrompt,
  formatTable,
  frequentTokens,
  initialDraft,
  loadTarget,
  loadTokenizer,
  onlineExamples,
  openExamples,
  openOnnxBackend,
  type Preset,
  PRESETS,
  readDraft,
  type Recipe,
  takePrompts,
  type Target,
  trainSteps,
  writeFileAtomic,
} from "../../lib/mod.ts";
import { folderOf, type Method, METHODS, passesOf, SETTINGS, TREES } from "./config.ts";
import { type Counts, type MethodResult, type Results, tableOf } from "./results.ts";

const SHIPPED = join(import.meta.dirname!, "results.json");

const { values: options } = parseArgs({
  options: {
    data: { type: "string", default: "runs/data" },
    target: { type: "string", default: "data/target" },
    out: { type: "string", default: "runs/training_methods" },
    epochs: { type: "string", default: String(SETTINGS.epochs) },
    only: { type: "string" },
    table: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (options.help) {
  console.log(`deno task compare: train all methods at equal tokens and measure tau

  --data FOLDER    made by deno task data [runs/data]
  --target FOLDER  target folder [data/target]
  --out FOLDER     drafts, metrics and results [runs/training_methods]
  --epochs NUMBER  epochs of the data that each method reads [${SETTINGS.epochs}]
  --only NAMES     methods, with commas: ${METHODS.map((m) => m.name).join(", ")}
  --table          print the table of the results that ship, train nothing`);
  Deno.exit(0);
}
if (options.table) {
  console.log(formatTable(tableOf(JSON.parse(await readFile(SHIPPED, "utf8")))));
  Deno.exit(0);
}

const EPOCHS = Number(options.epochs);
if (!(EPOCHS > 0)) throw new Error(`--epochs is ${options.epochs}, wanted more than 0`);

function configOf({ preset }: Method, { config, identity }: Target): DraftConfig {
  const { width, heads, kvHeads, headSize, vocabulary, positions, epsilon, ropeTheta } = config;
  const sizes = { width, heads, kvHeads, headSize, vocabulary, positions, epsilon, ropeTheta };
  const { fusion, head }: Preset = PRESETS[preset];
  return {
    ...sizes,
    inner: SETTINGS.inner,
    fusion,
    head,
    target: identity,
    ...(fusion === "taps" && {
      taps: eagle3Taps(config),
      draftVocabulary: Math.ceil(vocabulary / 2),
    }),
  };
}

function recipesOf(method: Method): Recipe[] {
  const passes = passesOf(method), { learningRate: [first, later], rows, warmup, seed } = SETTINGS;
  return passes.map((p, i) => ({
    ...DEFAULT_RECIPE,
    ...PRESETS[method.preset].recipe,
    ...method.changes,
    passes: p,
    epochs: EPOCHS / passes.length,
    learningRate: i === 0 ? first : later,
    rows,
    warmup,
    seed,
  }));
}

using backend = await openOnnxBackend();
const target = await loadTarget(options.target, { backend });
const tokenizer = await loadTokenizer(options.target);
const stored = await openExamples(join(options.data, "train"));
const aside = await openExamples(join(options.data, "validation"));
const questions = takePrompts("evaluation", { count: SETTINGS.prompts })
  .map(({ messages }) => encodePrompt(tokenizer, messages));

async function trainMethod(method: Method, folder: string) {
  const config = configOf(method, target), { draftVocabulary: size, vocabulary, taps } = config;
  const online = (examples: typeof stored) => onlineExamples(examples, { target, backend, taps });
  const read = taps === undefined ? { examples: stored, validation: aside } : {
    examples: online(stored),
    validation: online(aside),
  };
  const tokens = size === undefined ? undefined : frequentTokens(stored, { size, vocabulary });
  let draft = initialDraft(config, { seed: SETTINGS.seed, tokens });
  let recipes = recipesOf(method), start = 0;
  const seen = { tokens: 0, updates: 0, trainingSeconds: 0, top1: [] as number[] };
  const count = async (path: string) => {
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n").map((l) => JSON.parse(l));
    const steps = new Map(lines.filter((e) => e.type === "step").map((e) => [e.step, e]));
    for (const { tokens, ms } of steps.values()) {
      seen.tokens += tokens;
      seen.trainingSeconds += ms / 1000;
    }
    seen.updates += steps.size;
    const validated = lines.findLast((e) => e.type === "validation");
    seen.top1 = validated.passes.map((p: { top1: number }) => p.top1);
  };
  if (method.shares !== undefined) {
    const trunk = join(options.out, folderOf(method.shares), "step-1");
    draft = await readDraft(join(trunk, "draft"), { target });
    await count(join(trunk, "metrics.jsonl"));
    start = recipes[0].epochs;
    recipes = recipes.slice(1);
  }
  const settings = { backend, target, ...read, folder, start, validateEvery: 1e9 };
  for await (const { stage, event } of trainSteps(draft, recipes, settings)) {
    if (event.type === "step" && event.step % 50 === 0) {
      const { step, total, loss, tokensPerSecond } = event;
      console.error(
        `${method.name}, step ${stage}: ${step}/${total}, loss ${loss.toFixed(3)}, ${
          tokensPerSecond.toFixed(0)
        } tokens/s`,
      );
    }
  }
  for (let i = 1; i <= recipes.length; i++) await count(join(folder, `step-${i}`, "metrics.jsonl"));
  return {
    ...seen,
    draft: await readDraft(join(folder, `step-${recipes.length}`, "draft"), { target }),
  };
}

async function measure(method: Method): Promise<MethodResult> {
  const folder = join(options.out, folderOf(method.name)), path = join(folder, "result.json");
  if (existsSync(path)) return JSON.parse(await readFile(path, "utf8"));
  const { draft, ...seen } = await trainMethod(method, folder);
  const counts: Record<string, Counts[]> = {};
  for (const [name, shape] of Object.entries(TREES)) {
    const decoding = {
      target,
      backend,
      prompts: questions,
      maxTokens: SETTINGS.maxTokens,
      ...shape,
    };
    counts[name] = [];
    for await (const { rounds } of decodePrompts(draft, decoding)) {
      counts[name].push([rounds.reduce((n, r) => n + r.emitted, 0), rounds.length]);
    }
  }
  const parameters = countParameters(draft.config), passes = passesOf(method);
  const result = { name: method.name, parameters, passes, ...seen, counts };
  await writeFileAtomic(path, `${JSON.stringify(result)}\n`);
  return result;
}

const wanted = options.only?.split(",").map((n) => n.trim());
const results: Results = {
  settings: { ...SETTINGS, epochs: EPOCHS, trees: TREES, examples: stored.count },
  target: target.identity,
  methods: [],
};
for (const method of METHODS) {
  if (wanted !== undefined && !wanted.includes(method.name)) continue;
  results.methods.push(await measure(method));
  await writeFileAtomic(join(options.out, "results.json"), `${JSON.stringify(results)}\n`);
}
console.log(formatTable(tableOf(results)));
