/** Requests and the model: one at a time in order, places told, turns given back however a request ends. */
import assert from "node:assert/strict";
import { Desk } from "../../lib/serve/desk.ts";
import { LineFull } from "../../lib/serve/turns.ts";
import { replyRequest, tinyModel, until } from "./world.ts";

const never = () => new AbortController().signal;

Deno.test("one is answered at a time, the others hear their places", async () => {
  using model = await tinyModel();
  const desk = new Desk(model), request = replyRequest(model), order: string[] = [];
  const ask = async (name: string) => {
    for await (const event of desk.ask(request, { signal: never() }).events) {
      if ("place" in event) order.push(`${name} ${event.place}`);
      else if (event.row.type !== "round") order.push(`${name} ${event.row.type}`);
    }
  };
  await Promise.all(["a", "b", "c"].map(ask));
  const only = (name: string) => order.filter((o) => o.startsWith(name)).map((o) => o.slice(2));
  assert.deepEqual(only("a"), ["0", "start", "end"]);
  assert.deepEqual(only("c"), ["2", "1", "0", "start", "end"]);
  const work = order.filter((o) => /start|end/.test(o));
  assert.deepEqual(work, ["a start", "a end", "b start", "b end", "c start", "c end"]);
  assert.deepEqual([desk.counts.answered, desk.counts.tokens, desk.line.busy], [3, 72, false]);
});

Deno.test("who goes away while waiting makes room at once", async () => {
  using model = await tinyModel();
  const desk = new Desk(model, { waiting: 1 }), request = replyRequest(model);
  const first = desk.ask(request, { signal: never() });
  const abort = new AbortController();
  desk.ask(request, { signal: abort.signal });
  assert.throws(() => desk.ask(request, { signal: never() }), LineFull);
  abort.abort();
  const third = desk.ask(request, { signal: never() });
  await first.events.return(undefined);
  first.leave(); // events that nobody began cannot give the turn back
  for await (const event of third.events) if (!("place" in event)) break;
  await until(() => !desk.line.busy);
  assert.deepEqual([desk.counts.refused, desk.counts.stopped], [1, 1]);
});

Deno.test("an error of one is not the next one's", async () => {
  using model = await tinyModel();
  const desk = new Desk(model), sampling = { temperature: -1, topK: 0, topP: 1 };
  const bad = desk.ask(replyRequest(model, { sampling }), { signal: never() });
  await assert.rejects(Array.fromAsync(bad.events), /Cannot sample/);
  const good = desk.ask(replyRequest(model), { signal: never() });
  assert.ok((await Array.fromAsync(good.events)).length > 3);
  assert.deepEqual([desk.counts.failed, desk.counts.answered], [1, 1]);
});
