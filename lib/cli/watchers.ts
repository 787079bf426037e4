/** Who watches a run beside the terminal: TensorBoard files, an MLflow server. For `train.ts`. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import type { StagedEvent } from "../report/events.ts";
import { openMlflow } from "../report/mlflow.ts";
import { openTensorBoard } from "../report/tensorboard.ts";
import type { Recipe } from "../train/recipe.ts";

/** Declared options. */
export const WATCHING_OPTIONS = {
  tensorboard: {
    type: "boolean",
    describe: "also write event files, to the folder tensorboard of the run",
  },
  mlflow: { type: "string", describe: "URL of an MLflow server that is told, too" },
  "mlflow-experiment": { type: "string", default: "griffin", describe: "MLflow's experiment" },
} as const;

/** Told every event of a training. */
export interface Watchers {
  write(staged: StagedEvent): Promise<void>;
  /** Call at the end; says what could not be delivered. */
  finish(status: "FINISHED" | "KILLED" | "FAILED"): Promise<void>;
}

/** An MLflow run goes on under the id that it began with. */
async function mlflowRun(
  url: string,
  { out, experiment, parameters, say }: {
    out: string;
    experiment: string;
    parameters: Record<string, string | number>;
    say: (line: string) => void;
  },
) {
  const path = join(out, "mlflow.json"),
    known = existsSync(path) ? await readJson(path) : undefined;
  const run = known?.url === url ? String(known.run) : undefined;
  const opened = await openMlflow(url, { experiment, name: out, run, parameters, warn: say });
  await writeFileAtomic(path, `${JSON.stringify({ url, run: opened.id })}\n`);
  say(`MLflow: ${opened.page}`);
  return opened;
}

/** Updates of a step that an earlier run finished, from what it wrote then. */
async function updatesOf(folder: string): Promise<number> {
  const lines = await readFile(join(folder, "metrics.jsonl"), "utf8").catch(() => "");
  const totals = [...lines.matchAll(/^\{"type":"step","step":\d+,"total":(\d+)/gm)];
  return Number(totals.at(-1)?.[1] ?? 0);
}

/** Opens what was asked for. @throws when the server cannot be reached before the training begins. */
export async function openWatchers(
  options: { tensorboard: boolean; mlflow?: string; "mlflow-experiment": string },
  { out, recipes, say }: { out: string; recipes: readonly Recipe[]; say: (line: string) => void },
): Promise<Watchers> {
  const board = options.tensorboard ? await openTensorBoard(join(out, "tensorboard")) : undefined;
  const parameters = Object.fromEntries(
    recipes.flatMap((recipe, i) =>
      Object.entries(recipe).map(([k, v]) =>
        [`step_${i + 1}.${k}`, typeof v === "object" ? JSON.stringify(v) : String(v)] as const
      )
    ),
  );
  const experiment = options["mlflow-experiment"];
  const run = options.mlflow === undefined
    ? undefined
    : await mlflowRun(options.mlflow, { out, experiment, parameters, say });
  const totals = new Map<number, number>(); // updates of each stage, so that counts go on
  return {
    async write({ stage, event }) {
      if (event.type === "finished") {
        if (event.before) totals.set(stage, await updatesOf(dirname(event.path)));
        return;
      }
      if (event.type === "step") totals.set(stage, event.total);
      const offset = [...totals].reduce((n, [s, total]) => s < stage ? n + total : n, 0);
      await board?.write(event, { stage, offset });
      run?.write(event, { stage, offset });
    },
    async finish(status) {
      await board?.[Symbol.asyncDispose]();
      const delivery = await run?.finish(status);
      if (delivery !== undefined && (delivery.unsent > 0 || delivery.reason !== undefined)) {
        say(
          `MLflow was not told ${delivery.unsent} values: ${delivery.reason ?? "unknown reason"}`,
        );
      }
    },
  };
}
