/** What `deno task bench kernels` times: each page is among the calls, counts are those of the shapes, rates are finite. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { measureRates, timeRepeated } from "../../lib/bench/gpu_rates.ts";
import { kernelCases, timeCase } from "../../lib/bench/kernels.ts";
import { testOnWebGpu } from "../adapter.ts";

Deno.test("every page that a program launches is timed", () => {
  const timed = new Set(kernelCases().flatMap(({ kernel }) => kernel.split(", ")));
  const pages = readdirSync("kernels").filter((n) => n.endsWith(".wgsl"))
    .map((n) => n.replace(".wgsl", ""));
  // Rows kept and written are part of decoding rounds; scattered ones occur in training embeddings only.
  const left = pages.filter((p) => !timed.has(p)).sort();
  assert.deepEqual(left, ["cache_rows", "keep_rows", "scatter_add"]);
});

Deno.test("a repeated run is waited for once, until that no longer counts", async () => {
  const asked: number[] = [];
  await timeRepeated((times) => {
    asked.push(times);
    return new Promise((done) => setTimeout(done, 2 * times));
  }, { enough: 10, rounds: 2 });
  assert.deepEqual(asked.slice(0, 2), [1, 1]);
  assert.ok(asked.at(-1)! >= 4, asked.join());
});

testOnWebGpu("calls run and an adapter has rates", async (backend) => {
  const { bytesPerSecond, flopsPerSecond } = await measureRates(backend.device, {
    ...{ elements: 1 << 16, steps: 8 },
  });
  assert.ok(bytesPerSecond > 0 && flopsPerSecond > 0);
  const wait = () => backend.device.queue.onSubmittedWorkDone();
  for (const one of kernelCases().filter(({ bytes, flops }) => bytes < 6e6 && flops < 1e8)) {
    const ms = await timeCase(backend, one, { wait, enough: 1 });
    assert.ok(ms > 0 && ms < 1e5, one.kernel);
  }
});
