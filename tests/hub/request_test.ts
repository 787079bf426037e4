/** What answers of a hub mean: which are asked for again, and which end in an error that says what to do. */
import assert from "node:assert/strict";
import { listModel } from "../../lib/hub/listing.ts";
import { modelFolder } from "../../lib/hub/model.ts";
import { HubUnreachable, request, retryAfter } from "../../lib/hub/request.ts";
import { type Faults, someFiles, withHub } from "./mock_hub.ts";

const GATED = { "x-error-code": "GatedRepo" };

/** Wants this error of a model, with one fault, with or without a token; gives how many requests it took. */
async function refuses(
  name: string,
  { fault, token, error }: { fault?: Faults["answer"]; token?: string; error: RegExp },
): Promise<number> {
  let asked = 0;
  await withHub(someFiles(), async ({ hub, settings }) => {
    hub.faults = { answer: fault };
    await assert.rejects(modelFolder(name, { settings: { ...settings, token } }), error);
    asked = hub.log.length;
  });
  return asked;
}

Deno.test("request: gated models say where to accept the licence, with and without a token", async () => {
  for (const status of [401, 403]) {
    const fault = { status, times: 1, at: /resolve/, headers: GATED };
    const error =
      /org\/tiny: it is gated\. Accept its licence at http.*\/org\/tiny and set HF_TOKEN/;
    await refuses("org/tiny", { fault, error });
    const told =
      /the account of this token has no access\. Accept its licence at http.*\/org\/tiny/;
    await refuses("org/tiny", { fault: { ...fault, times: 1 }, token: "hf_a", error: told });
  }
});

Deno.test("request: private or absent models, and tokens that are refused", async () => {
  const fault = { status: 401, times: 1 };
  const error = /no such model, nor a folder of that name here; or it is private or gated: acc/;
  assert.equal(await refuses("org/tiny", { fault, error }), 1);
  await refuses("org/tiny", {
    fault: { ...fault, times: 1 },
    token: "not of the usual form",
    error: /HF_TOKEN was refused \(401\), or no such model/,
  });
  const absent = /Cannot find org\/absent@main at http.*: no such model, nor a folder of that name/;
  assert.equal(await refuses("org/absent", { error: absent }), 1);
});

Deno.test("request: 429 and 5xx are asked for again, then told with how often", async () => {
  await withHub(someFiles(), async ({ hub, settings }) => {
    for (const status of [429, 500, 503]) {
      hub.faults = { answer: { status, times: 2, headers: { "retry-after": "0" } } };
      const asked = hub.log.length;
      await listModel({ model: { id: "org/tiny", revision: "main" }, settings });
      assert.equal(hub.log.length, asked + 4, `${status}`);
    }
  });
  const fault = { status: 500, times: 99 };
  assert.equal(await refuses("org/tiny", { fault, error: /answered 500, 3 times/ }), 3);
});

Deno.test("request: an answer that is no JSON, of a portal for one, is told", async () => {
  await withHub(someFiles(), async ({ hub, settings }) => {
    for (const at of [/revision/, /tree/]) {
      hub.faults = { answer: { status: 200, times: 1, at } };
      const told = /Cannot download org\/tiny: http\S+ did not answer in JSON/;
      await assert.rejects(modelFolder("org/tiny", { settings }), told);
    }
  });
});

Deno.test("request: waits as long as the server asks, and tells when that is too long", async () => {
  await withHub(someFiles(), async ({ hub, settings }) => {
    const asking = { model: { id: "org/tiny", revision: "main" }, settings };
    const ask = () => request(`${hub.endpoint}/api/models/org/tiny/revision/main`, asking);
    hub.faults = { answer: { status: 429, times: 1, headers: { "retry-after": "1" } } };
    const began = performance.now();
    await (await ask()).body?.cancel();
    assert.ok(performance.now() - began >= 990);
    hub.faults = { answer: { status: 429, times: 1, headers: { "retry-after": "3600" } } };
    await assert.rejects(ask(), (e: Error) => {
      assert.match(e.message, /answered 429 and asks to wait 60 minutes/);
      return e instanceof HubUnreachable;
    });
  });
});

Deno.test("request: Retry-After in seconds and as a date", () => {
  const now = Date.parse("2025-01-01T00:00:00Z");
  assert.equal(retryAfter("7", now), 7000);
  assert.equal(retryAfter("Wed, 01 Jan 2025 00:00:05 GMT", now), 5000);
  assert.equal(retryAfter("Tue, 31 Dec 2024 00:00:00 GMT", now), 0);
  assert.deepEqual([retryAfter(null), retryAfter("soon")], [undefined, undefined]);
});

Deno.test("request: a server that accepts and never answers is left, and the wait can be stopped", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const connection of listener) open.push(connection);
  })();
  await withHub(someFiles(), async ({ settings }) => {
    const endpoint = `http://127.0.0.1:${listener.addr.port}`, model = { id: "a/b", revision: "x" };
    const hasty = { ...settings, endpoint, patience: 50, tries: 2 };
    await assert.rejects(request(endpoint, { model, settings: hasty }), /\(no answer\), 2 times/);
    const signal = AbortSignal.timeout(50), patient = { ...settings, endpoint };
    await assert.rejects(request(endpoint, { model, settings: patient, signal }), {
      name: "TimeoutError",
    });
  });
  listener.close();
  open.forEach((connection) => connection.close());
  await accepting;
});
