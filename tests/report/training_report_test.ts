/** The report of a training: sections, the line that makes data and draft again, and where it went on elsewhere. */
import assert from "node:assert/strict";
import { trainingLine, trainingReport } from "../../lib/report/training_report.ts";
import { sampleSteps } from "./samples.ts";
import { SOMEWHERE, storedTraining, TRAINING_RECORD } from "./stored_runs.ts";

const RUN = storedTraining([[30, 10], [20, 10]]);

Deno.test("sections in order, empty ones left out; drafts, cost and memory from their rows", () => {
  const page = trainingReport(RUN, { record: TRAINING_RECORD });
  assert.equal(page.lead, "Does it learn?");
  assert.deepEqual(page.sections.map((s) => s.heading), [
    "Result",
    "Alignment",
    "Health",
    "Drafts",
    "Cost",
    "Settings",
    "What it read",
    "How to reproduce",
  ]);
  const at = (heading: string) => page.sections.find((s) => s.heading === heading)!.table!;
  assert.deepEqual(at("Drafts")[1], [1, "step-1/draft", "ffffffffffffffff", "8.0 MB"]);
  const cost = Object.fromEntries(at("Cost"));
  assert.equal(cost["updates that are stored"], "3");
  assert.equal(cost["time in them"], "0.9 s");
  assert.equal(cost["largest resident memory at an update"], "not recorded");
  const settings = Object.fromEntries(at("Settings"));
  assert.deepEqual([settings["command.seed"], settings["stage 1.recipe.weights.token"]], [
    "1",
    "0.1",
  ]);
});

Deno.test("the line makes the data first where it is known how they were made", () => {
  const train = "deno task train --seed 1 --out runs/again";
  assert.equal(
    trainingLine(TRAINING_RECORD),
    `deno task data --seed 2 --out runs/data && ${train}`,
  );
  assert.equal(
    trainingLine({ command: TRAINING_RECORD.command }, { out: "x" }),
    train.replace("runs/again", "x"),
  );
  assert.equal(trainingLine({}), undefined);
  const { dataCommand: _, ...record } = TRAINING_RECORD;
  const text = trainingReport(RUN, { record }).sections.at(-1)!.text!;
  assert.match(text, /command that made its data is not recorded; their hash is/);
});

Deno.test("a run without a record has its curves; one that went on elsewhere says so", () => {
  const page = trainingReport({ stages: [sampleSteps(3)], settings: {} }, { record: {} });
  assert.equal(page.environment.cpu, "not recorded");
  assert.match(page.sections.at(-1)!.text!, /command line is not recorded/);
  assert.ok(page.sections.some((s) => s.heading === "Health" && s.figures!.length > 0));
  const moved = { ...SOMEWHERE, cpu: "slide rule", date: "2000-01-02 00:00" };
  const record = { ...TRAINING_RECORD, resumed: [moved] };
  const [settings] = trainingReport(RUN, { record }).sections.filter((s) =>
    s.heading === "Settings"
  );
  assert.deepEqual(settings.warnings, [
    "It was stopped, and went on elsewhere: 2000-01-02 00:00, commit abc1234, slide rule.",
  ]);
});
