/** Measured costs: every size of every part, usable as they are, kept for the same machine, model and settings only. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import {
  type CostQuestion,
  costsFolder,
  knownCosts,
  measureCosts,
  readCosts,
} from "../../lib/bench/costs.ts";
import { checkCosts } from "../../lib/decode/pricing.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { tinyDraft, tinyTarget } from "../model/tiny.ts";

async function question(changes: Partial<CostQuestion> = {}) {
  const backend = await openOnnxBackend({ threads: 1 });
  const target = new TargetDecoder(tinyTarget(backend), { backend });
  const limits = { rows: 3, depth: 4, budget: 10, rounds: 2 };
  return { backend, target, draft: tinyDraft(), ...limits, ...changes };
}

Deno.test("every compiled size within the limits is measured, and none costs less than a smaller one", async () => {
  for (const children of ["top", "sampled"] as const) {
    const costs = await measureCosts(await question({ children }));
    checkCosts(costs);
    const sizes = (name: "read" | "expand" | "verify") => costs[name].map(([n]) => n);
    assert.deepEqual(sizes("read"), [1, 2, 3, 4, 6]);
    assert.deepEqual(sizes("expand"), [1, 2, 3]);
    assert.deepEqual(sizes("verify"), [1, 2, 3, 4, 6, 8, 10]);
    for (const name of ["read", "expand", "verify"] as const) {
      const ms = costs[name].map(([, t]) => t);
      assert.deepEqual(ms, ms.toSorted((a, b) => a - b), name);
    }
  }
});

Deno.test("costs are kept, found again, and measured again when asked or when their file is spoilt", async () => {
  const folder = await mkdtemp(join(tmpdir(), "costs-"));
  try {
    const asked = await question(), first = await knownCosts(asked, { folder });
    assert.equal(first.measured, true);
    const second = await knownCosts(asked, { folder });
    assert.deepEqual(second, { ...first, measured: false });
    assert.equal((await knownCosts(asked, { folder, again: true })).measured, true);
    for (const spoilt of ["{", "{}", '{"costs":{"read":[],"expand":[],"verify":[],"host":1}}']) {
      await writeFile(first.path, spoilt);
      assert.equal((await knownCosts(asked, { folder })).measured, true, spoilt);
      checkCosts(JSON.parse(await readFile(first.path, "utf8")).costs);
    }
    // Another tree, children of another kind: other programs, other costs.
    await knownCosts({ ...asked, budget: 8 }, { folder });
    await knownCosts({ ...asked, children: "sampled" }, { folder });
    assert.equal((await readdir(folder)).length, 3);
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("the folder is the user's cache", () => {
  const before = Deno.env.get("XDG_CACHE_HOME");
  try {
    Deno.env.set("XDG_CACHE_HOME", join("some", "cache"));
    assert.equal(costsFolder(), join("some", "cache", "griffin-lab"));
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
  }
});

Deno.test("costs are read from whatever file holds them; none, and broken ones, are refused", async () => {
  const folder = await mkdtemp(join(tmpdir(), "costs-")), path = join(folder, "report.json");
  try {
    const costs = { read: [[1, 0.5]], expand: [[1, 0.25]], verify: [[1, 2], [8, 3]], host: 0.125 };
    await writeFile(path, JSON.stringify({ settings: {}, costs }));
    assert.deepEqual(await readCosts(path), costs);
    await writeFile(path, JSON.stringify({ suites: [] }));
    await assert.rejects(
      readCosts(path),
      /report.json: it holds none; wanted an object with costs/,
    );
    await writeFile(path, JSON.stringify({ costs: { ...costs, verify: [[8, 2], [1, 3]] } }));
    await assert.rejects(readCosts(path), /costs of verify: found \[1,3\]/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
