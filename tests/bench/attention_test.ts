/** A step with the pages of attention holds fewer bytes than one without. */
import assert from "node:assert/strict";
import { openWebGpuBackend } from "../../lib/backend/webgpu/backend.ts";
import { ATTENTION_OPS, openStep } from "../../lib/bench/attention.ts";
import { testOnWebGpu } from "../adapter.ts";

testOnWebGpu(
  "a step with the pages of attention is smaller by T x T numbers a head",
  async (backend) => {
    using expanded = await openWebGpuBackend({ expanded: ATTENTION_OPS });
    const length = 512, before = backend.bytes, sizes = { length, passes: 1 };
    {
      using step = await openStep(backend, sizes), other = await openStep(expanded, sizes);
      assert.equal(backend.bytes, before + step.bytes);
      // At least scores and weights of four heads.
      assert.ok(
        step.bytes < other.bytes - 2 * 4 * 4 * length ** 2,
        `${step.bytes}, ${other.bytes}`,
      );
    }
    assert.equal(backend.bytes, before);
  },
);
