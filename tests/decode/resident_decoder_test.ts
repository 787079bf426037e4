/** Rounds that never wait for the host say what the host's loop says: trees, texts, acceptance. */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth, type TreeShape } from "../../lib/decode/growth.ts";
import { ResidentDecoder } from "../../lib/decode/resident_decoder.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { record } from "../../lib/eval/run.ts";
import { tinyDraft, tinyTarget } from "../model/tiny.ts";

const SHAPE: TreeShape = { depth: 3, width: 2, budget: 6 };
const PROMPT = Int32Array.of(3, 1, 4, 1, 5);

Deno.test("greedy rounds are the host's, token by token and node by node", async () => {
  const backend = referenceBackend();
  const loaded = tinyTarget(backend), draft = tinyDraft();
  using target = new TargetDecoder(loaded, { backend });
  using drafter = new TreeDrafter(draft, {
    ...{ backend, target: loaded, growth: dynamicGrowth(SHAPE), eightBit: false },
  });
  using resident = new ResidentDecoder(target, { backend, drafting: { draft, shape: SHAPE } });
  const wanted = await record(speculate(target, PROMPT, { drafter, maxTokens: 12 }));
  const found = await record(resident.generate(PROMPT, { maxTokens: 12 }));
  assert.deepEqual(found.tokens, wanted.tokens);
  const told = (rounds: typeof found.rounds) =>
    rounds.map(({ emitted, accepted, depth, drafted }) => ({ emitted, accepted, depth, drafted }));
  assert.deepEqual(told(found.rounds), told(wanted.rounds));
});
