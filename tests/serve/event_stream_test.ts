/** Streams of events: signs of life, a reader that goes away, one that reads nothing, bounded memory. */
import assert from "node:assert/strict";
import { comment, data, eventStream } from "../../lib/serve/event_stream.ts";

/** Lines without end, counting them; `done` tells how it was ended. */
function endless(size = 100) {
  const seen = { made: 0, ended: false };
  async function* lines() {
    try {
      for (;;) {
        await Promise.resolve();
        seen.made++;
        yield data("x".repeat(size));
      }
    } finally {
      seen.ended = true;
    }
  }
  return { seen, lines: lines() };
}

const wait = (ms: number) => new Promise<void>((go) => setTimeout(go, ms));

Deno.test("lines arrive whole and in order, and the end is told once", async () => {
  async function* lines() {
    yield await Promise.resolve(data({ a: "\n\nä" }));
    yield comment("place 1");
  }
  let ends = 0;
  const stream = eventStream(lines(), { abort: new AbortController(), done: () => ends++ });
  const text = await new Response(stream).text();
  assert.equal(text, 'data: {"a":"\\n\\nä"}\n\n: place 1\n\n');
  assert.equal(ends, 1);
});

Deno.test("a quiet generator is covered by signs of life, and loses nothing by them", async () => {
  async function* lines() {
    await wait(60);
    yield data(1);
  }
  const stream = eventStream(lines(), { abort: new AbortController(), aliveMs: 10 });
  const text = await new Response(stream).text();
  assert.match(text, /^(: alive\n\n){2,}data: 1\n\n$/);
});

Deno.test("a reader that goes away ends the generator", async () => {
  const { seen, lines } = endless(), abort = new AbortController();
  let ends = 0;
  const reader = eventStream(lines, { abort, done: () => ends++ }).getReader();
  await reader.read();
  await reader.cancel();
  assert.deepEqual([abort.signal.aborted, seen.ended, ends], [true, true, 1]);
});

Deno.test("a reader that reads nothing is given up, with little kept for it", async () => {
  const { seen, lines } = endless(10_000), abort = new AbortController();
  const ended = Promise.withResolvers<void>();
  const stream = eventStream(lines, { abort, stallMs: 40, done: ended.resolve });
  await ended.promise;
  assert.ok(abort.signal.aborted && seen.ended);
  assert.ok(seen.made < 40, `${seen.made} lines of 10 kB were made for nobody`);
  await assert.rejects(new Response(stream).text(), /read nothing for 40 ms/);
});

Deno.test("a generator that throws breaks the stream and ends it", async () => {
  async function* lines() {
    yield await Promise.resolve(data(1));
    throw new Error("broken");
  }
  let ends = 0;
  const stream = eventStream(lines(), { abort: new AbortController(), done: () => ends++ });
  await assert.rejects(new Response(stream).text(), /broken/);
  assert.equal(ends, 1);
});
