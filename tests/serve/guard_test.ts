/** What is let in and what is not: hosts, origins, kinds and sizes of bodies. */
import assert from "node:assert/strict";
import { BODY_BYTES, checkSource, hostName, readBody } from "../../lib/serve/guard.ts";
import { RequestError } from "../../lib/serve/requests.ts";

const request = (headers: Record<string, string>, method = "POST") =>
  new Request("http://127.0.0.1:8017/v1/chat/completions", { method, headers });

function refused(
  headers: Record<string, string>,
  { code, method }: { code: string; method?: string },
) {
  assert.throws(
    () => checkSource(request(headers, method), { names: ["lab.example"] }),
    (cause) => cause instanceof RequestError && cause.status === 403 && cause.code === code,
    JSON.stringify(headers),
  );
}

const passes = (headers: Record<string, string>, method?: string) =>
  checkSource(request(headers, method), { names: ["lab.example"] });

Deno.test("hosts: addresses, localhost and given names, whatever the port", () => {
  for (
    const host of ["127.0.0.1:8017", "localhost:9", "[::1]:8017", "192.168.0.4", "LAB.example:80"]
  ) {
    passes({ host });
  }
  for (
    const host of ["evil.example", "localhost.evil.example:8017", "127.0.0.1.evil.example", ""]
  ) {
    refused({ host }, { code: "foreign_host" });
  }
  assert.deepEqual(["[::1]:80", "A.b:1", "a"].map(hostName), ["::1", "a.b", "a"]);
});

Deno.test("origins: none or this very page; not another port, not null", () => {
  const host = "localhost:8017";
  passes({ host });
  passes({ host, origin: "http://localhost:8017" });
  passes({ host, origin: "https://localhost:8017" });
  for (
    const origin of ["http://localhost:8018", "http://evil.example", "null", "http://localhost"]
  ) {
    refused({ host, origin }, { code: "foreign_origin" });
  }
});

Deno.test("a link from elsewhere is followed, a request by a foreign page is not answered", () => {
  const host = "localhost:8017", site = { host, "sec-fetch-site": "cross-site" };
  passes({ ...site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }, "GET");
  refused(site, { code: "foreign_origin", method: "GET" });
  refused({ ...site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" }, {
    code: "foreign_origin",
    method: "GET",
  });
  refused({ ...site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }, {
    code: "foreign_origin",
  });
});

const body = (content: BodyInit, type = "application/json") =>
  readBody(
    new Request("http://localhost/", {
      method: "POST",
      headers: { "content-type": type },
      body: content,
    }),
  );

const fails = (promise: Promise<unknown>, status: number) =>
  assert.rejects(promise, (cause) => cause instanceof RequestError && cause.status === status);

Deno.test("bodies: JSON in UTF-8 of bounded size and the right type", async () => {
  assert.deepEqual(await body('{"a": "ä"}', "application/json; charset=utf-8"), { a: "ä" });
  await fails(body("{", "application/json"), 400);
  await fails(body(Uint8Array.of(0x22, 0xff, 0x22)), 400);
  await fails(body("{}", "text/plain"), 415);
  await fails(body("{}", "application/x-www-form-urlencoded"), 415);
  await fails(body(`"${"x".repeat(BODY_BYTES)}"`), 413);
});

Deno.test("a body whose length is not told is counted", async () => {
  let pulled = 0;
  const endless = new ReadableStream({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(64 << 10).fill(32));
    },
  });
  await fails(body(endless), 413);
  assert.ok(pulled < 40, `${pulled} parts were read`);
});
