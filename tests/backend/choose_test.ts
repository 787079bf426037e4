/** Which backend is opened: what was asked for, or the better one with the reason, or one clear error. */
import assert from "node:assert/strict";
import { device, openBackend } from "../../lib/backend/choose.ts";

/** A WebGPU without adapters. */
const none = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU;
/** One whose device cannot be opened. */
const broken = {
  requestAdapter: () =>
    Promise.resolve({
      info: { description: "a card", isFallbackAdapter: false },
      limits: {},
      requestDevice: () => Promise.reject(new Error("out of memory")),
    }),
} as unknown as GPU;

Deno.test("auto falls back to the CPU and says why; webgpu does not", async () => {
  const { backend, kind, reason } = await openBackend("auto", { gpu: none });
  backend[Symbol.dispose]();
  assert.equal(kind, "cpu");
  assert.match(reason, /WebGPU has no adapter here/);
  await assert.rejects(openBackend("webgpu", { gpu: none }), /found no adapter; wanted a GPU/);
  const second = await openBackend("auto", { gpu: broken });
  second.backend[Symbol.dispose]();
  assert.match(second.reason, /^CPU, .*Cannot open WebGPU on a card: out of memory/);
  await assert.rejects(openBackend("webgpu", { gpu: broken }), /on a card: out of memory/);
});

Deno.test("cpu is ONNX Runtime, and a notebook's device is a backend", async () => {
  const { backend, kind } = await openBackend("cpu");
  backend[Symbol.dispose]();
  assert.equal(kind, "cpu");
  assert.ok(backend.hostVisible);
  using chosen = await device("cpu");
  assert.match(chosen.name, /^onnx/);
});
