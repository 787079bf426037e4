/**
 * Timing beside other frameworks, with a peer made here: the same work passes, other work is refused, and a peer
 * that is missing, ends or complains says so. Also tests lib/bench/peers.ts.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { openPeer, type Peer } from "../../lib/bench/peers.ts";
import { stackProgram, stackSizes } from "../../lib/bench/training.ts";
import { timeJob } from "../../lib/bench/training_peers.ts";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";

const SIZES = { layers: 1, width: 16, heads: 2, inner: 24, vocabulary: 4096, batch: 2, length: 8 };
const job = () => ({
  name: "small",
  kind: "stack" as const,
  sizes: stackSizes(SIZES),
  program: stackProgram(SIZES),
  parameter: "0.q",
});

/** A peer that computes with our own Program; `spoil` moves its results. */
async function mirror(spoil: { loss?: number; parameter?: number }): Promise<Peer> {
  const backend = await openOnnxBackend({ threads: 1 }), program = stackProgram(SIZES);
  const run = await backend.compile(program);
  let tensors: ReturnType<typeof given> = {};
  function given(path: string) {
    using file = openSafetensors(path);
    return Object.fromEntries(
      Object.entries(program.inputs).map(([name, n]) => [
        name,
        backend.tensor(n.dtype === "i32" ? file.readInt(name) : file.readFloat32(name), n.shape),
      ]),
    );
  }
  return {
    name: "mirror",
    async ask({ op, inputs, path }) {
      if (op === "open") tensors = given(String(inputs));
      if (op === "step") {
        const { loss } = await run.run(tensors);
        return { ms: 1000, loss: loss.host![0] + (spoil.loss ?? 0) };
      }
      if (op === "save") {
        const data = (tensors["0.q"].host as Float32Array).map((x) => x + (spoil.parameter ?? 0));
        await writeSafetensors(String(path), { "0.q": { shape: tensors["0.q"].shape, data } });
      }
      return {};
    },
    [Symbol.asyncDispose]: () => Promise.resolve(backend[Symbol.dispose]()),
  };
}

Deno.test("a peer that does the same work is timed beside ours", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  await using peer = await mirror({});
  const { timings, skipped } = await timeJob(job(), { backend, peers: [peer], rounds: 3 });
  assert.deepEqual(timings.map((t) => t.side), ["ours", "mirror"]);
  assert.ok(timings[0].minimum > 0 && timings[0].minimum <= timings[0].median);
  assert.deepEqual([timings[1].median, skipped], [1000, {}]);
});

Deno.test("other work is refused, whether in the loss or in the update", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  await using losing = await mirror({ loss: 0.1 });
  const timed = (peers: Peer[]) => timeJob(job(), { backend, peers, rounds: 1 });
  await assert.rejects(timed([losing]), /with mirror: the loss differs by .* not the same/);
  await using moving = await mirror({ parameter: 0.01 });
  await assert.rejects(timed([moving]), /parameter 0.q differs/);
});

Deno.test("a peer that refuses a job is skipped with its reason", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const peer: Peer = {
    name: "unwilling",
    ask: () => Promise.reject(new Error("Cannot use it: Error: no stack here")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const { timings, skipped } = await timeJob(job(), { backend, peers: [peer], rounds: 1 });
  assert.deepEqual([timings.length, skipped], [1, { unwilling: "no stack here" }]);
});

Deno.test("a process says its name, answers, and its errors come through", async () => {
  const program = `
    console.log(JSON.stringify({ name: "echo 1.0" }));
    const { value } = await Deno.stdin.readable.pipeThrough(new TextDecoderStream()).getReader().read();
    console.log(JSON.stringify({ error: "heard " + value.trim() }));
  `;
  const args = ["eval", program];
  await using peer = await openPeer(Deno.execPath(), args);
  assert.equal(peer.name, "echo 1.0");
  await assert.rejects(peer.ask({ op: "step" }), /heard \{"op":"step"\}/);
  await assert.rejects(openPeer("no-such-program", []), /Cannot start no-such-program/);
  const ends = ["eval", "throw new Error('broken')"];
  await assert.rejects(openPeer(Deno.execPath(), ends), /it ended/);
});
