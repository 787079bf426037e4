/**
 * A whole training: steps of 1, 2, 3 ... passes one after the other, each from the draft of the step before and
 * on the data that comes after its data. Folders: `step-1/checkpoints`, `step-1/metrics.jsonl`, `step-1/draft`.
 * A finished step is not run again, a step cut short goes on. One step's loop is `train.ts`.
 */
import { appendFile, mkdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFolderAtomic } from "../io/atomic.ts";
import { type Draft, readDraft, writeDraft } from "../model/load.ts";
import type { StagedEvent } from "../report/events.ts";
import { checkRecipe, type Recipe } from "./recipe.ts";
import { train, type TrainOptions } from "./train.ts";

export interface StepsOptions extends Omit<TrainOptions, "recipe" | "folder"> {
  /** Folder of the training; each step has one in it. */
  folder: string;
}

/**
 * Trains through all recipes in order; yields every event with the number of its step, from 1, and `finished`
 * when a step's draft (f16) is on disk, from which the next one begins. Returns the last draft as it is on disk,
 * or, once the signal is aborted, the draft so far.
 * @throws as {@link train} does, and before anything is trained where a recipe contradicts itself.
 */
export async function* trainSteps(
  draft: Draft,
  recipes: readonly Recipe[],
  options: StepsOptions,
): AsyncGenerator<StagedEvent, Draft> {
  const { folder, target, signal } = options;
  for (const recipe of recipes) checkRecipe(recipe, draft.config);
  let start = options.start ?? 0;
  for (const [i, recipe] of recipes.entries()) {
    const stage = i + 1, place = join(folder, `step-${stage}`), path = join(place, "draft");
    if (existsSync(path)) {
      draft = await readDraft(path, { target });
      yield { stage, event: { type: "finished", path, before: true } };
    } else {
      const checkpoints = join(place, "checkpoints");
      const run = train(draft, { ...options, recipe, start, folder: checkpoints });
      try {
        for (let next = await run.next();; next = await run.next()) {
          if (next.done) {
            draft = next.value;
            break;
          }
          // Made only now: a run that is refused leaves nothing behind.
          await mkdir(place, { recursive: true });
          await appendFile(join(place, "metrics.jsonl"), `${JSON.stringify(next.value)}\n`);
          yield { stage, event: next.value };
        }
      } finally {
        await run.return(draft);
      }
      if (signal?.aborted) return draft;
      const dtype = "F16" as const, trained = draft;
      await writeFolderAtomic(path, (temporary) => writeDraft(temporary, { ...trained, dtype }));
      // As it is on disk: the next step begins with the same bits, now or after a new start.
      draft = await readDraft(path, { target });
      yield { stage, event: { type: "finished", path, before: false } };
    }
    start += recipe.epochs;
  }
  return draft;
}
