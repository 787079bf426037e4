/**
 * Fifty clients at once for some seconds: patient ones, ones that go away while they wait or are answered, ones that
 * read slowly, ones that are refused and try again. No answer is lost, mixed up or held; memory does not grow.
 */
import assert from "node:assert/strict";
import { traffic } from "../../lib/bench/chat_load.ts";
import { DEFAULTS, openWorld } from "./world.ts";

Deno.test("fifty clients: every answer arrives whole, nothing is held, the line stays bounded", async () => {
  await using world = await openWorld({ waiting: 32, stallMs: 400 });
  const { server, model } = world;
  const questions = Array.from({ length: 12 }, (_, i) => `Question ${i}`);
  const load = { clients: 50, questions, maxTokens: DEFAULTS.maxTokens, seed: 1 };
  // Everything that is compiled once is compiled.
  await traffic(server.address, { ...load, clients: 4, ms: 800, model: "tiny" });
  const held = model.held();
  const seen = await traffic(server.address, { ...load, ms: 4000, model: "tiny" });
  assert.deepEqual(seen.wrong, [], "answers that are not the greedy answer to their question");
  assert.deepEqual(seen.lost, [], "answers that broke off");
  assert.ok(seen.answered > 20, `${seen.answered} answered`);
  assert.ok(seen.refused > 0 && seen.left > 0 && seen.longestLine > 8, JSON.stringify(seen));
  assert.ok(seen.longestLine <= 32);
  assert.deepEqual(server.desk.line, { busy: false, waiting: 0, most: 32 });
  assert.equal(model.held(), held, "tensors are held for clients that are gone");
});
