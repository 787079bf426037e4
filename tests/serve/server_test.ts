/** The server over HTTP: files and headers, the page's API, errors, disconnections, stopping. */
import assert from "node:assert/strict";
import { POLICY } from "../../lib/serve/guard.ts";
import { eventsOf, openWorld, question, until } from "./world.ts";

Deno.test("the page and its files come with a policy, and nothing else is there", async () => {
  await using world = await openWorld();
  const { address } = world.server, get = (path: string) => fetch(new URL(path, address));
  const page = await get("/");
  assert.equal(page.headers.get("content-security-policy"), POLICY);
  assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  const html = await page.text();
  // Everything it names is served, and of this server only.
  const names = [...html.matchAll(/(?:src|href)="([^"#][^"]*)"/g)].map(([, name]) => name);
  assert.ok(names.length >= 4);
  const seen = new Set<string>();
  for (const queue = [...names]; queue.length > 0;) {
    const name = queue.pop()!;
    if (seen.has(name)) continue;
    seen.add(name);
    assert.match(name, /^\/[\w.]+$/);
    const file = await get(name), text = await file.text();
    assert.equal(file.status, 200, name);
    if (!name.endsWith(".js")) continue;
    assert.match(file.headers.get("content-type")!, /^text\/javascript/);
    assert.doesNotMatch(text, /\.(inner|outer)HTML\s*=|insertAdjacentHTML|document\.write/, name);
    const imports = text.matchAll(/(?:from|URL\()\s*"(?:\.\/)?([\w.]+\.js)"/g);
    for (const [, found] of imports) queue.push(`/${found}`);
  }
  assert.ok(seen.has("/drawing.js") && seen.has("/answer.js"), [...seen].join());
  for (const path of ["/page/main.js", "/server.ts", "/..%2fserver.ts", "/favicon.ico", "/v1"]) {
    const nothing = await get(path);
    assert.equal(nothing.status, 404, path);
    assert.match((await nothing.json()).error.message, /Found nothing at/);
  }
});

Deno.test("a foreign host, a foreign origin and another method are refused", async () => {
  await using world = await openWorld();
  const { address } = world.server, body = JSON.stringify(question("Hi"));
  // Fetch sets the host itself: by hand, as a rebound name would arrive.
  const { port } = new URL(address);
  const socket = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  const request =
    `GET /api/info HTTP/1.1\r\nHost: evil.example:${port}\r\nConnection: close\r\n\r\n`;
  await socket.write(new TextEncoder().encode(request));
  const answer = await new Response(socket.readable).text();
  assert.match(answer, /^HTTP\/1.1 403 [\s\S]*foreign_host/);
  const foreign = await world.post("/api/chat", body, {
    headers: { origin: "http://evil.example" },
  });
  assert.equal(foreign.status, 403);
  assert.equal((await foreign.json()).error.code, "foreign_origin");
  assert.equal(foreign.headers.get("access-control-allow-origin"), null);
  const ask = await fetch(new URL("/api/chat", address), { method: "OPTIONS" });
  assert.equal(ask.status, 405);
  await ask.body?.cancel();
  assert.deepEqual(world.server.desk.counts.answered, 0);
});

Deno.test("the page's reply: place, beginning, then events of both sides to their ends", async () => {
  await using world = await openWorld();
  const asked = question("Hi", { mode: "both", trace: true, max_tokens: 12, seed: 5 });
  const events = await Array.fromAsync(eventsOf(await world.post("/api/chat", asked)));
  assert.deepEqual(events.slice(0, 2).map((e) => e.type), ["place", "begin"]);
  assert.deepEqual([events[0].place, events[1].seed, events[1].mode], [0, 5, "both"]);
  const ends = events.filter((e) => (e.row as { type: string } | undefined)?.type === "end");
  assert.deepEqual(ends.map((e) => e.side).sort(), ["plain", "speculative"]);
  const info = await (await fetch(new URL("/api/info", world.server.address))).json();
  assert.deepEqual([info.name, info.target.positions], ["tiny", 2048]);
});

Deno.test("what fails while answering is told in the stream, and the next is answered", async () => {
  await using world = await openWorld();
  const { model } = world, broken = model.tokenizer.decode;
  let fails = true;
  model.tokenizer.decode = (ids, options) => {
    if (fails) throw new Error("the tokenizer broke");
    return broken(ids, options);
  };
  const events = await Array.fromAsync(eventsOf(await world.post("/api/chat", question("Hi"))));
  assert.match(JSON.stringify(events.at(-1)), /"type":"error".*the tokenizer broke.*server_error/);
  const whole = await world.post("/v1/chat/completions", question("Hi"));
  assert.equal(whole.status, 500);
  assert.equal((await whole.json()).error.type, "server_error");
  fails = false;
  assert.equal((await world.post("/v1/chat/completions", question("Hi"))).status, 200);
});

Deno.test("a client that goes away stops its reply within a round and frees what it held", async () => {
  await using world = await openWorld();
  const { server: { desk }, model, post } = world;
  await (await post("/api/chat", question("Hi", { mode: "both" }))).text();
  const held = model.held(), before = desk.counts.tokens;
  const away = new AbortController();
  const response = await post("/api/chat", question("Hi", { max_tokens: 2000 }), away);
  for await (const event of eventsOf(response)) if (event.type === "reply") break;
  away.abort();
  await until(() => !desk.line.busy);
  assert.ok(desk.counts.tokens - before < 1500, `${desk.counts.tokens - before} tokens for nobody`);
  assert.equal(model.held(), held);
  assert.equal(desk.counts.stopped, 1);
});

Deno.test("others are served while a reply is made, after few rounds", async () => {
  await using world = await openWorld();
  const { server: { desk, address }, post } = world, away = new AbortController();
  const asked = question("Hi", { max_tokens: 2000, mode: "plain" });
  const events = eventsOf(await post("/api/chat", asked, away));
  while ((await events.next()).value?.type !== "reply");
  const rounds: number[] = [];
  for (let i = 0; i < 8; i++) {
    const before = desk.counts.tokens;
    await (await fetch(new URL("/api/status", address))).json();
    assert.ok(desk.line.busy, "the reply was over too soon for this test");
    rounds.push(desk.counts.tokens - before);
  }
  away.abort();
  await events.return(undefined).catch(() => {}); // it was cut off
  await until(() => !desk.line.busy);
  const median = rounds.toSorted((a, b) => a - b)[4];
  assert.ok(median < 30, `a request waited for ${median} rounds (${rounds})`);
});

Deno.test("places are told, also to OpenAI's clients, as comments", async () => {
  await using world = await openWorld();
  const { post } = world, away = new AbortController();
  const first = await post("/api/chat", question("Hi", { max_tokens: 2000 }), away);
  const waiting = eventsOf(await post("/api/chat", question("Hi")));
  assert.deepEqual((await waiting.next()).value, { type: "place", place: 1 });
  const other = await post("/v1/chat/completions", question("Hi", { stream: true }));
  setTimeout(() => away.abort(), 20);
  assert.match(await other.text(), /^: place 2\n\n(: place 1\n\n)?: place 0\n\ndata: /);
  const types = (await Array.fromAsync(waiting)).map((e) => e.type);
  assert.deepEqual(types.slice(0, 2), ["place", "begin"]);
  await first.body?.cancel().catch(() => {});
});

Deno.test("a closing server finishes the reply in work, and turns away who waits or comes", async () => {
  const world = await openWorld(), { post, server } = world;
  const streaming = await post("/v1/chat/completions", question("Hi", { stream: true }));
  const waiting = [post("/api/chat", question("Hi")), post("/v1/chat/completions", question("Hi"))];
  await until(() => server.desk.line.waiting === 2);
  server.desk.close();
  const late = await post("/v1/chat/completions", question("Hi"));
  assert.equal(late.status, 503);
  assert.ok(Number(late.headers.get("retry-after")) > 0);
  assert.equal((await late.json()).error.code, "stopping");
  assert.match(await streaming.text(), /data: \[DONE\]\n\n$/);
  const [events, whole] = await Promise.all(waiting);
  assert.match(await events.text(), /"type":"error".*The server is stopping/);
  assert.equal(whole.status, 503);
  assert.ok(Number(whole.headers.get("retry-after")) > 0);
  await whole.body?.cancel();
  await world[Symbol.asyncDispose]();
});
