/**
 * Runs on a small server in this process that fails when it is told to, and, where `MLFLOW_URL` names one, on
 * a real MLflow. No pauses here: those of the options are set to nothing.
 */
import assert from "node:assert/strict";
import { type MlflowOptions, openMlflow } from "../../lib/report/mlflow.ts";
import { scalarsOf } from "../../lib/report/scalars.ts";
import { MlflowServer, refusalOf } from "./mlflow_server.ts";
import { sampleSteps, sampleValidation } from "./samples.ts";

const EVENTS = [...sampleSteps(3), sampleValidation(3)];
const COUNT = EVENTS.flatMap((e) => scalarsOf(e, { stage: 2 })).length;

/** Options without pauses, and the lines it was warned with. */
function quick(more: MlflowOptions = {}) {
  const warned: string[] = [];
  const warn = (line: string) => warned.push(line);
  return { warned, options: { every: 0, pause: 0, warn, ...more } as MlflowOptions };
}

Deno.test("parameters, metrics of a stage, end: all on the server", async () => {
  await using server = new MlflowServer();
  const { warned, options } = quick({
    name: "first",
    parameters: { k: 3, mask: "paper", ok: true },
  });
  const run = await openMlflow(server.url, options);
  assert.equal(run.id, "r0");
  assert.equal(run.page, `${server.url}/#/experiments/e0/runs/r0`);
  for (const event of EVENTS) run.write(event, { stage: 2, offset: 10 });
  assert.deepEqual(await run.finish(), { sent: COUNT, unsent: 0 });
  await run[Symbol.asyncDispose](); // changes nothing any more
  const { name, status, parameters, metrics } = server.runs.r0;
  assert.deepEqual([name, status], ["first", "FINISHED"]);
  assert.deepEqual(parameters, { k: "3", mask: "paper", ok: "true" });
  assert.equal(metrics.length, COUNT);
  const tau = metrics.filter((m) => m.key === "validation/tau");
  assert.deepEqual(tau.map(({ step, value }) => ({ step, value })), [{ step: 13, value: 3.25 }]);
  assert.deepEqual(metrics.filter((m) => m.key === "loss").map((m) => m.step), [11, 12, 13]);
  assert.deepEqual(warned, []);
});

Deno.test("many values go in requests of a thousand, in order; NaN arrives", async () => {
  await using server = new MlflowServer();
  const run = await openMlflow(server.url, quick().options);
  const steps = sampleSteps(200);
  for (const event of steps) {
    run.write(event.step === 7 && event.type === "step" ? { ...event, loss: NaN } : event);
  }
  await run.finish();
  const losses = server.runs.r0.metrics.filter((m) => m.key === "loss");
  assert.deepEqual(losses.map((m) => m.step), steps.map((e) => e.step));
  assert.equal(losses[6].value as unknown, "NaN");
  const { length } = server.requests.filter((path) => path === "runs/log-batch");
  assert.ok(length >= 4 && length <= 6, `${length} requests`);
});

Deno.test("more than a hundred parameters go in several requests", async () => {
  await using server = new MlflowServer();
  const parameters = Object.fromEntries(Array.from({ length: 230 }, (_, i) => [`p${i}`, i]));
  const run = await openMlflow(server.url, quick({ parameters }).options);
  await run.finish();
  assert.equal(Object.keys(server.runs.r0.parameters).length, 230);
});

Deno.test("a run is continued under its id; other parameters are refused", async () => {
  await using server = new MlflowServer();
  const first = await openMlflow(server.url, quick({ parameters: { k: 3 } }).options);
  await first.finish("KILLED");
  assert.equal(server.runs.r0.status, "KILLED");
  const more = quick({ run: first.id, parameters: { k: 3, seed: 0 } }).options;
  const second = await openMlflow(server.url, more);
  assert.equal(server.runs.r0.status, "RUNNING");
  second.write(EVENTS[0]);
  await second.finish();
  assert.deepEqual(server.runs.r0.parameters, { k: "3", seed: "0" });
  assert.deepEqual(Object.keys(server.runs), ["r0"]);
  await assert.rejects(
    openMlflow(server.url, quick({ run: "r0", parameters: { k: 5 } }).options),
    /Cannot continue MLflow run r0: its k is 3, now asked for 5/,
  );
  await assert.rejects(openMlflow(server.url, quick({ run: "r9" }).options), /404: no run r9/);
});

Deno.test("a server that is away for a while: one warning, nothing lost, no order changed", async () => {
  await using server = new MlflowServer();
  const { warned, options } = quick();
  const run = await openMlflow(server.url, options);
  let failures = 0;
  server.before = (path) =>
    path === "runs/log-batch" && failures++ < 8 ? new Response("away", { status: 503 }) : undefined;
  for (const event of EVENTS) run.write(event, { stage: 2 });
  while (failures < 8) await new Promise((r) => setTimeout(r, 1));
  assert.deepEqual(await run.finish(), { sent: COUNT, unsent: 0 });
  assert.equal(warned.length, 1);
  assert.match(warned[0], /answered 503: away; the training goes on, values are kept/);
  const found = server.runs.r0.metrics.filter((m) => m.key === "loss").map((m) => m.step);
  assert.deepEqual(found, [1, 2, 3]);
});

Deno.test("a server that stays away: finish gives up, and says what was not sent", async () => {
  const server = new MlflowServer(), { warned, options } = quick();
  const run = await openMlflow(server.url, options);
  await server[Symbol.asyncDispose]();
  for (const event of EVENTS) run.write(event, { stage: 2 });
  const { sent, unsent, reason } = await run.finish();
  assert.deepEqual([sent, unsent], [0, COUNT]);
  assert.match(reason!, /^Cannot reach MLflow at /);
  assert.ok(
    warned.at(-1)!.startsWith(`warning: ${COUNT} of ${COUNT} values were not sent to MLflow: `),
  );
  assert.ok(warned.length <= 2);
});

Deno.test("beyond the bound the oldest values go, and are counted", async () => {
  await using server = new MlflowServer();
  const { warned, options } = quick({ bound: 40 });
  const run = await openMlflow(server.url, options);
  let away = true;
  server.before = (path) =>
    path === "runs/log-batch" && away ? new Response("away", { status: 500 }) : undefined;
  for (const event of EVENTS) run.write(event, { stage: 2 });
  while (warned.length === 0) await new Promise((r) => setTimeout(r, 1));
  away = false;
  const { sent, unsent, reason } = await run.finish();
  assert.deepEqual([sent, unsent], [40, COUNT - 40]);
  assert.match(reason!, /more than 40 values waited while the server was away/);
  assert.equal(server.runs.r0.metrics.at(-1)!.key, "validation/pass2/kept");
});

Deno.test("a refusal for good stops the sending and not the training", async () => {
  await using server = new MlflowServer();
  const { warned, options } = quick();
  const run = await openMlflow(server.url, options);
  server.before = (path) =>
    path === "runs/log-batch"
      ? refusalOf("INVALID_STATE", { status: 400, message: "run is deleted" })
      : undefined;
  run.write(EVENTS[0], { stage: 2 });
  while (warned.length === 0) await new Promise((r) => setTimeout(r, 1));
  for (const event of EVENTS.slice(1)) run.write(event, { stage: 2 });
  const { sent, unsent, reason } = await run.finish();
  assert.deepEqual([sent, unsent], [0, COUNT]);
  assert.match(reason!, /answered 400: run is deleted/);
  assert.equal(server.requests.filter((path) => path === "runs/log-batch").length, 1);
  assert.equal(warned.length, 2);
});

Deno.test("a run left without an end is marked as failed", async () => {
  await using server = new MlflowServer();
  {
    await using run = await openMlflow(server.url, quick().options);
    run.write(EVENTS[0]);
  }
  assert.equal(server.runs.r0.status, "FAILED");
  assert.equal(server.runs.r0.metrics.length, scalarsOf(EVENTS[0]).length);
});

Deno.test("without a server a run is not begun", async () => {
  const server = new MlflowServer(), { url } = server;
  await server[Symbol.asyncDispose]();
  await assert.rejects(openMlflow(url, quick().options), /Cannot reach MLflow at .*get-by-name: /);
});

const real = Deno.env.get("MLFLOW_URL");

Deno.test({
  name: `a real server keeps a run of two openings${
    real ? "" : ": not run (MLFLOW_URL is not set)"
  }`,
  ignore: real === undefined,
  async fn() {
    const { warned, options } = quick({ experiment: "griffin-test", parameters: { k: 3 } });
    const first = await openMlflow(real!, options);
    const [event] = sampleSteps(1);
    first.write(event.type === "step" ? { ...event, gradientNorm: NaN } : event, { stage: 1 });
    assert.equal((await first.finish("KILLED")).unsent, 0);
    const second = await openMlflow(real!, {
      ...options,
      run: first.id,
      parameters: { k: 3, l: 4 },
    });
    for (const e of EVENTS) second.write(e, { stage: 2, offset: 10 });
    assert.deepEqual(await second.finish(), { sent: COUNT, unsent: 0 });
    assert.deepEqual(warned, []);
    await assert.rejects(
      openMlflow(real!, { ...options, run: first.id, parameters: { k: 4 } }),
      /its k is 3, now asked for 4/,
    );
    await assert.rejects(openMlflow(real!, { ...options, run: "0".repeat(32) }), /answered 404: /);
    const ask = async (path: string) =>
      await (await fetch(`${real}/api/2.0/mlflow/${path}`)).json();
    const { run: { info, data } } = await ask(`runs/get?run_id=${first.id}`);
    assert.equal(info.status, "FINISHED");
    assert.deepEqual(
      Object.fromEntries(data.params.map((p: { key: string; value: string }) => [p.key, p.value])),
      { k: "3", l: "4" },
    );
    const key = encodeURIComponent("pass2/top1");
    const { metrics } = await ask(`metrics/get-history?run_id=${first.id}&metric_key=${key}`);
    assert.deepEqual(
      metrics.map((m: { step: number; value: number }) => [m.step, m.value]),
      [[1, 0.09], [11, 0.09], [12, 0.19], [13, 0.29]].map(([s, v]) => [s, closest(v)]),
    );
  },
});

/** The sample's own value: n / 10 - 1 / 100 in doubles. */
function closest(value: number): number {
  return Math.round((value + 0.01) * 10) / 10 - 1 / 100;
}
