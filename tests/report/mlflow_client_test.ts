/** Single requests: what goes out, and how refusals and silence are told. */
import assert from "node:assert/strict";
import { MlflowClient, MlflowError } from "../../lib/report/mlflow_client.ts";
import { MlflowServer, refusalOf } from "./mlflow_server.ts";

Deno.test("an experiment is found by name, or made", async () => {
  await using server = new MlflowServer();
  const client = new MlflowClient(server.url);
  assert.equal(await client.experiment("a b"), "e0");
  assert.equal(await client.experiment("a b"), "e0");
  assert.deepEqual(server.requests, [
    "experiments/get-by-name",
    "experiments/create",
    "experiments/get-by-name",
  ]);
});

Deno.test("an experiment made by another in the meantime is used; a deleted one is refused", async () => {
  await using server = new MlflowServer();
  const client = new MlflowClient(server.url);
  server.before = (path) => {
    if (path !== "experiments/create") return undefined;
    server.experiments.x = "e7";
    return refusalOf("RESOURCE_ALREADY_EXISTS", { status: 400, message: "there is one" });
  };
  assert.equal(await client.experiment("x"), "e7");
  const experiment = { experiment_id: "e7", lifecycle_stage: "deleted" };
  server.before = () => Response.json({ experiment });
  await assert.rejects(client.experiment("x"), /Cannot use experiment x at .*it is deleted there/);
});

Deno.test("a refusal names address, status and MLflow's message, and whether to try again", async () => {
  await using server = new MlflowServer();
  const client = new MlflowClient(server.url);
  const refused = async (answer: Response) => {
    server.before = () => answer;
    const cause = await client.getRun("r").then(() => undefined, (e) => e);
    assert.ok(cause instanceof MlflowError);
    return cause;
  };
  const denied = await refused(
    refusalOf("PERMISSION_DENIED", { status: 403, message: "not yours" }),
  );
  assert.equal(
    denied.message,
    `MLflow at ${server.url}/api/2.0/mlflow/runs/get answered 403: not yours`,
  );
  assert.deepEqual([denied.passing, denied.code], [false, "PERMISSION_DENIED"]);
  for (const status of [408, 429, 500, 503]) {
    assert.equal((await refused(new Response("busy\n now", { status }))).passing, true);
  }
  const strange = await refused(new Response("<html>\n hello", { status: 200 }));
  assert.match(strange.message, /answered 200: <html> hello$/);
  assert.equal(strange.passing, false);
});

Deno.test("no server, and a silent one, are told as such", async () => {
  const server = new MlflowServer(), { url } = server;
  await server[Symbol.asyncDispose]();
  const away = await new MlflowClient(url).getRun("r").catch((e) => e);
  assert.match(away.message, /^Cannot reach MLflow at .*runs\/get: /);
  assert.equal(away.passing, true);

  let release = () => {};
  const held = new Promise<void>((r) => release = r);
  const silent = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => held.then(() => new Response("")),
  );
  const slow = new MlflowClient(`http://${silent.addr.hostname}:${silent.addr.port}`, {
    timeout: 20,
  });
  const cause = await slow.getRun("r").catch((e) => e);
  release();
  await silent.shutdown();
  assert.match(cause.message, /no answer in time/);
  assert.equal(cause.passing, true);
});

Deno.test("user and password go into a header, not into messages; a token too", async () => {
  await using server = new MlflowServer();
  const secret = new MlflowClient(`${server.url.replace("//", "//me:s%C3%A9cret@")}/`);
  assert.equal(secret.url, server.url);
  const cause = await secret.getRun("r").catch((e) => e);
  assert.ok(!cause.message.includes("cret"), cause.message);
  const given = server.authorization!.replace("Basic ", "");
  assert.equal(
    new TextDecoder().decode(Uint8Array.from(atob(given), (c) => c.charCodeAt(0))),
    "me:sécret",
  );
  await new MlflowClient(server.url, { token: "t" }).experiment("x");
  assert.equal(server.authorization, "Bearer t");
});

Deno.test("what is no address of a server is refused", () => {
  for (const url of ["runs/mlflow", "ftp:host", "localhost:5000"]) {
    assert.throws(() => new MlflowClient(url), /Cannot use .* as an MLflow server: wanted http/);
  }
});
