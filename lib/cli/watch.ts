/** `deno task watch`: a training run as a table and a page, while it runs or afterwards; or sent to a viewer. */
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { type Environment, readEnvironment } from "../report/environment.ts";
import { openMlflow } from "../report/mlflow.ts";
import { renderPage } from "../report/page.ts";
import { followRun, readRun, type TrainingRun } from "../report/run_folder.ts";
import { formatTable } from "../report/table.ts";
import { openTensorBoard } from "../report/tensorboard.ts";
import { offsetsOf } from "../report/training_figures.ts";
import { findings, settingRows, stageRows, trainingPage } from "../report/training_page.ts";
import { runCommand } from "./command.ts";
import { Progress } from "./progress.ts";

/** While following, the page is made anew after so many milliseconds at the earliest. */
const PAGE_EVERY = 10_000;

async function writePage(path: string, { stages, settings, environment }: TrainingRun) {
  const here: Environment = environment ?? await readEnvironment({
    backend: "not recorded; the rest is of the machine that made this page",
  });
  await writeFileAtomic(
    path,
    await renderPage(trainingPage(stages, { environment: here, settings })),
  );
}

/** Every event with its stage and the updates before it. */
function* placed({ stages }: TrainingRun) {
  const offsets = offsetsOf(stages);
  for (const [i, events] of stages.entries()) {
    for (const event of events) yield { event, place: { stage: i + 1, offset: offsets[i] } };
  }
}

await runCommand({
  name: "watch",
  summary: "show a training run: table, page with curves; follow it, or send it to a viewer",
  options: {
    run: {
      type: "string",
      default: "runs/griffin",
      positional: true,
      describe: "folder of the run (--out of deno task train)",
    },
    follow: { type: "boolean", describe: "go on as the run grows, until Ctrl-C" },
    out: { type: "string", describe: "the page [training.html in the run's folder]" },
    tensorboard: { type: "string", describe: "folder to write TensorBoard event files to" },
    mlflow: {
      type: "string",
      describe: "URL of an MLflow server to send the run to; token in MLFLOW_TRACKING_TOKEN",
    },
    experiment: { type: "string", default: "griffin", describe: "experiment on that server" },
  },
}, async ({ run: folder, follow, out, tensorboard, mlflow, experiment }, io) => {
  const { say, result, signal } = io, page = out ?? join(folder, "training.html");
  if (follow && (tensorboard !== undefined || mlflow !== undefined)) {
    throw new Error(
      "found --follow with --tensorboard or --mlflow, wanted one of them: these two send what is there",
    );
  }
  const show = (run: TrainingRun) => {
    const told = findings(run.stages);
    say(formatTable(stageRows(run.stages)));
    if (told !== "") say(told);
  };
  if (follow) {
    using progress = new Progress(folder);
    let checks = 0, written = -Infinity;
    for await (const run of followRun(folder, { signal })) {
      const all = run.stages.flat(), last = run.stages.at(-1)!.findLast((e) => e.type === "step");
      const now = all.filter((e) => e.type === "validation").length, fresh = now !== checks;
      checks = now;
      if (fresh) {
        say("");
        show(run);
      }
      if (last !== undefined) {
        const { step, total, loss, secondsLeft } = last, stage = run.stages.length;
        const note = `stage ${stage} loss ${loss?.toFixed(3)}`;
        progress.update(step, { total, note, secondsLeft: secondsLeft ?? NaN });
      }
      if (fresh || performance.now() - written > PAGE_EVERY) {
        await writePage(page, run);
        written = performance.now();
      }
    }
    return;
  }
  const run = await readRun(folder);
  show(run);
  await writePage(page, run);
  say(`page: ${page}`);
  if (tensorboard !== undefined) {
    await using board = await openTensorBoard(tensorboard);
    for (const { event, place } of placed(run)) await board.write(event, place);
    say(`TensorBoard: ${join(tensorboard, board.name)}`);
  }
  let sent: { id: string; page: string; sent: number; unsent: number } | undefined;
  if (mlflow !== undefined) {
    await using remote = await openMlflow(mlflow, {
      experiment,
      parameters: Object.fromEntries(settingRows(run.settings)),
      token: Deno.env.get("MLFLOW_TRACKING_TOKEN"),
      bound: Infinity, // all of it is in memory already
      every: 0,
      warn: say,
    });
    for (const { event, place } of placed(run)) remote.write(event, place);
    sent = { ...await remote.finish(), id: remote.id, page: remote.page };
    say(`MLflow: ${sent.sent} values, ${remote.page}`);
    if (sent.unsent > 0) throw new Error(`${sent.unsent} values were not sent to MLflow`);
  }
  const [heading, ...rows] = stageRows(run.stages);
  const stages = rows.map((row) => Object.fromEntries(row.map((cell, i) => [heading[i], cell])));
  result({ run: folder, page, stages, findings: findings(run.stages), mlflow: sent });
});
