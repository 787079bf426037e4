/** The line: order, places, its length, leaving it from any place, closing it. */
import assert from "node:assert/strict";
import { LineFull, type Turn, Turns } from "../../lib/serve/turns.ts";

/** The places that a turn hears, as they come. */
function listen(turn: Turn, signal?: AbortSignal): { heard: number[]; over: Promise<void> } {
  const heard: number[] = [];
  const over = (async () => {
    for await (const place of turn.places(signal)) heard.push(place);
  })();
  return { heard, over };
}

const breathe = () => new Promise<void>((go) => setTimeout(go, 0));

Deno.test("turns come in the order of entering, and each hears its place", async () => {
  const turns = new Turns({ most: 3 }), all = [turns.enter(), turns.enter(), turns.enter()];
  const heard = all.map((turn) => listen(turn));
  await heard[0].over;
  assert.deepEqual(heard.map((h) => h.heard), [[0], [1], [2]]);
  all[0][Symbol.dispose]();
  await heard[1].over;
  await breathe();
  assert.deepEqual(heard.map((h) => h.heard), [[0], [1, 0], [2, 1]]);
  assert.equal(turns.waiting, 1);
  all[1][Symbol.dispose]();
  await heard[2].over;
  assert.deepEqual(heard[2].heard, [2, 1, 0]);
  all[2][Symbol.dispose]();
  assert.equal(turns.busy, false);
});

Deno.test("who leaves from the middle makes room, and leaves once", async () => {
  const turns = new Turns({ most: 2 }),
    [, middle, last] = [
      turns.enter(),
      turns.enter(),
      turns.enter(),
    ];
  const { heard } = listen(last);
  await breathe();
  middle[Symbol.dispose]();
  middle[Symbol.dispose]();
  await breathe();
  assert.deepEqual([heard, middle.place, turns.waiting], [[2, 1], -1, 1]);
});

Deno.test("a full line refuses and says when to try again", () => {
  const turns = new Turns({ most: 1 });
  turns.enter();
  const second = turns.enter();
  assert.throws(() => turns.enter(), (cause) => {
    assert.ok(cause instanceof LineFull && !cause.closed && cause.retryAfter >= 1);
    assert.match(cause.message, /1 requests wait already, wanted at most 1/);
    return true;
  });
  second[Symbol.dispose]();
  turns.enter();
});

Deno.test("an aborted wait ends; the turn itself is given back by its owner", async () => {
  const turns = new Turns(), abort = new AbortController();
  turns.enter();
  const waiting = turns.enter(), { heard, over } = listen(waiting, abort.signal);
  await breathe();
  abort.abort();
  await over;
  assert.deepEqual([heard, waiting.place], [[1], 1]);
});

Deno.test("a closed line lets nobody in and turns away who waits, not who has the turn", async () => {
  const turns = new Turns(), first = turns.enter(), second = turns.enter();
  const waits = listen(second),
    isClosed = (cause: unknown) => cause instanceof LineFull && cause.closed;
  await breathe();
  turns.close();
  await assert.rejects(waits.over, isClosed);
  assert.throws(() => turns.enter(), isClosed);
  const has = listen(first);
  await has.over;
  assert.deepEqual([waits.heard, has.heard], [[1], [0]]);
});

Deno.test("a length that is none is refused", () => {
  assert.throws(
    () => new Turns({ most: 1.5 }),
    /Cannot let 1.5 wait: wanted a whole number from 0/,
  );
});
