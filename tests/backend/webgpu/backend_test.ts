/** The device itself: shared inputs, kept rows, memory given back, errors that say what was wrong. */
import assert from "node:assert/strict";
import { referenceBackend } from "../../../lib/backend/reference.ts";
import { readAll } from "../../../lib/backend/backend.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { program } from "../../../lib/graph/program.ts";
import { Cache, newBatchCache } from "../../../lib/model/placement.ts";
import { testOnWebGpu } from "../../adapter.ts";

testOnWebGpu("a run sees what the host wrote into a shared input", async (backend) => {
  const data = Float32Array.of(1, 2, 3), x = backend.shared(data, [3]);
  using twice = await backend.compile(program({ y: ops.mul(ops.input("x", [3]), 2) }));
  assert.deepEqual([...await (await twice.run({ x })).y.read()], [2, 4, 6]);
  (x.host as Float32Array)[1] = 7;
  assert.deepEqual([...await (await twice.run({ x })).y.read()], [2, 14, 6]);
});

testOnWebGpu("rows of a cache are kept as on the host", async (backend) => {
  const shape = [2, 3, 11, 5], size = 2 * 3 * 11 * 5;
  const data = Float32Array.from({ length: size }, (_, i) => i);
  for (const offsets of [[0, 2, 5], [0, 1], [3], [0, 1, 2, 6, 7]]) {
    const tensor = backend.tensor(data.slice(), shape);
    const device = new Cache({ a: tensor }),
      host = new Cache({
        a: referenceBackend().tensor(data.slice(), shape),
      });
    // The host's way walks heads of one sequence; both sequences lie behind each other.
    for (const cache of [device, host]) cache.length = 3;
    host.tensors.a = referenceBackend().tensor(host.tensors.a.host!, [1, 6, 11, 5]);
    device.keep(offsets);
    host.keep(offsets);
    assert.equal(device.length, 3 + offsets.length);
    assert.deepEqual(await tensor.read(), host.tensors.a.host, offsets.join());
  }
});

testOnWebGpu("memory is counted, and given back", async (backend) => {
  const before = backend.bytes;
  const x = backend.tensor(new Float32Array(1024), [32, 32]);
  const run = await backend.compile(program({ y: ops.neg(ops.input("x", [32, 32])) }));
  assert.ok(backend.bytes >= before + 2 * 4096, `${backend.bytes} bytes`);
  await run.run({ x });
  run[Symbol.dispose]();
  x[Symbol.dispose]();
  assert.equal(backend.bytes, before);
  await assert.rejects(run.run({ x }), /was disposed/);
});

testOnWebGpu("several reads wait once", async (backend) => {
  const tensors = Object.fromEntries(
    [3, 1, 8].map((n) => [`t${n}`, backend.tensor(new Float32Array(n).fill(n), [n])]),
  );
  const u8 = backend.tensor(Uint8Array.of(1, 2, 3, 4, 5), [5]);
  const found = await readAll({ ...tensors, u8 });
  assert.deepEqual([...found.t8], new Array(8).fill(8));
  assert.deepEqual([...found.u8], [1, 2, 3, 4, 5]);
});

testOnWebGpu("what cannot be is one clear error", async (backend) => {
  const x = ops.input("x", [2, 2]), run = await backend.compile(program({ y: ops.neg(x) }));
  const other = referenceBackend().tensor(new Float32Array(4), [2, 2]);
  await assert.rejects(run.run({ x: other }), /input x is a tensor of another backend/);
  await assert.rejects(run.run({}), /input x is missing/);
  const large = backend.device.limits.maxStorageBufferBindingSize;
  await assert.rejects(
    backend.compile(program({ y: ops.fill(1, [large]) })),
    /it has \d+ bytes, the adapter binds \d+/,
  );
  assert.throws(
    () => newBatchCache(backend, { kvHeads: 1, headSize: 2 }, { capacity: 3, layers: 1, batch: 2 }),
    /Cannot share caches among 2 sequences on webgpu: wanted the CPU/,
  );
});
