/** Metrics files as killed and resumed runs leave them, folders of stages, and a run that grows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { TrainingEvent } from "../../lib/report/events.ts";
import { followRun, parseEvents, readRun } from "../../lib/report/run_folder.ts";
import { NOWHERE, sampleSteps, sampleValidation } from "./samples.ts";

const text = (events: readonly TrainingEvent[]) =>
  events.map((e) => `${JSON.stringify(e)}\n`).join("");
const kinds = (events: readonly TrainingEvent[]) => events.map((e) => `${e.type} ${e.step}`);

async function inRun(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function writeStage(
  folder: string,
  { stage, content }: { stage: number; content: string },
): Promise<void> {
  await Deno.mkdir(join(folder, `step-${stage}`), { recursive: true });
  await Deno.writeTextFile(join(folder, `step-${stage}/metrics.jsonl`), content);
}

Deno.test("a torn last line is passed over, blank lines too", () => {
  const whole = text(sampleSteps(3));
  assert.deepEqual(kinds(parseEvents(whole.slice(0, -20))), ["step 1", "step 2"]);
  assert.deepEqual(kinds(parseEvents(`${whole}\n\n`)), ["step 1", "step 2", "step 3"]);
  assert.deepEqual(parseEvents(""), []);
  assert.deepEqual(parseEvents('{"type":"st'), []);
});

Deno.test("a resumed run that goes on in a torn line loses only the torn row", () => {
  const [one, two] = sampleSteps(2).map((e) => JSON.stringify(e));
  assert.deepEqual(kinds(parseEvents(`${one}\n${two.slice(0, 50)}${two}\n`)), ["step 1", "step 2"]);
});

Deno.test("repeated updates: the later rows count, what came after them is void", () => {
  const checkpoint: TrainingEvent = { type: "checkpoint", step: 2, path: "p" };
  const steps = sampleSteps(5);
  const again = steps.slice(2, 4).map((e) => e.type === "step" ? { ...e, loss: 9 } : e);
  const events = parseEvents(
    text([...steps.slice(0, 2), checkpoint, sampleValidation(2), ...steps.slice(2), ...again]),
  );
  assert.deepEqual(kinds(events), [
    "step 1",
    "step 2",
    "checkpoint 2",
    "validation 2",
    "step 3",
    "step 4",
  ]);
  assert.deepEqual(events.flatMap((e) => e.type === "step" ? [e.loss] : []), [1, 1, 9, 9]);
  const twice = parseEvents(
    text([sampleValidation(2, { loss: 5 }), sampleValidation(2, { loss: 6 })]),
  );
  assert.deepEqual(twice.map((e) => e.type === "validation" && e.loss), [6]);
});

Deno.test("a foreign line in between is refused by number", () => {
  assert.throws(() => parseEvents(`hello\n${text(sampleSteps(1))}`), /line 1 is not an event/);
  assert.throws(
    () => parseEvents(`${text(sampleSteps(1))}{"type":"round","step":1}\n${text(sampleSteps(1))}`),
    /line 2 is not an event of a training: \{"type":"round"/,
  );
});

Deno.test("stages in order of their numbers, settings of the newest checkpoints", async () => {
  await inRun(async (folder) => {
    for (const stage of [10, 2, 1]) {
      await writeStage(folder, { stage, content: text(sampleSteps(stage)) });
    }
    await Deno.mkdir(join(folder, "step-3/checkpoints"), { recursive: true }); // no metrics yet
    for (const [update, seed] of [["0000020", 1], ["0000100", 7]] as const) {
      const checkpoint = join(folder, "step-2/checkpoints", `update-${update}`);
      await Deno.mkdir(checkpoint, { recursive: true });
      const settings = JSON.stringify({ recipe: { seed } });
      await Deno.writeTextFile(join(checkpoint, "state.json"), JSON.stringify({ settings }));
    }
    const { stages, settings, environment } = await readRun(folder);
    assert.deepEqual(stages.map((s) => s.length), [1, 2, 0, 0, 0, 0, 0, 0, 0, 10]);
    assert.deepEqual(settings, { "stage 2": { recipe: { seed: 7 } } });
    assert.equal(environment, undefined);
    const run = { settings: { k: 3 }, environment: NOWHERE };
    await Deno.writeTextFile(join(folder, "run.json"), JSON.stringify(run));
    const recorded = await readRun(folder);
    assert.deepEqual([recorded.settings, recorded.environment], [{ k: 3 }, NOWHERE]);
  });
});

Deno.test("no run, and a damaged file, are named", async () => {
  await inRun(async (folder) => {
    await assert.rejects(readRun(folder), /Cannot read a run from .*: it holds no step-1.metrics/);
    await assert.rejects(readRun(join(folder, "nowhere")), /Cannot read a run from .*nowhere/);
    await writeStage(folder, { stage: 1, content: `x\n${text(sampleSteps(1))}` });
    await assert.rejects(readRun(folder), /Cannot read .*step-1.metrics\.jsonl: line 1 is not/);
  });
});

Deno.test("following: waits for the run, shows it whenever it has grown, ends with the signal", async () => {
  await inRun(async (folder) => {
    const abort = new AbortController(), seen: number[][] = [], content = text(sampleSteps(3));
    setTimeout(() => void writeStage(folder, { stage: 1, content }), 5);
    for await (const { stages } of followRun(folder, { signal: abort.signal, every: 1 })) {
      seen.push(stages.map((s) => s.length));
      if (stages.length === 1 && stages[0].length === 3) {
        await writeStage(folder, { stage: 2, content: text(sampleSteps(2)) });
      } else if (stages.length === 2) abort.abort();
    }
    assert.deepEqual(seen.slice(-2), [[3], [3, 2]]);
  });
});
