/** Tests lib/io/checkpoint.ts: one file or several look the same. */
import { deepEqual, throws } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { writeSafetensors } from "../../lib/io/safetensors.ts";

const tensor = (value: number) => ({ shape: [1], data: Float32Array.of(value) });

async function sharded(weight_map: unknown): Promise<string> {
  const folder = await Deno.makeTempDir();
  await writeSafetensors(join(folder, "one.safetensors"), { a: tensor(1), b: tensor(2) });
  await writeSafetensors(join(folder, "two.safetensors"), { c: tensor(3) });
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
  return folder;
}

Deno.test("a single file", async () => {
  const folder = await Deno.makeTempDir();
  await writeSafetensors(join(folder, "model.safetensors"), { a: tensor(4) });
  using file = openCheckpoint(folder);
  deepEqual([file.names, [...file.readFloat32("a")]], [["a"], [4]]);
});

Deno.test("shards read as one", async () => {
  using file = openCheckpoint(
    await sharded({ a: "one.safetensors", b: "one.safetensors", c: "two.safetensors" }),
  );
  deepEqual(file.names.map((n) => file.readFloat32(n)[0]), [1, 2, 3]);
  throws(() => file.info("d"), /has no tensor d/);
});

Deno.test("an index that lies is refused", async () => {
  const missing = await sharded({ a: "three.safetensors" });
  throws(() => openCheckpoint(missing), /three.safetensors: no such file/);
  const misplaced = await sharded({ c: "one.safetensors" });
  throws(() => openCheckpoint(misplaced), /places c in one.safetensors, which does not hold it/);
  const empty = await sharded(undefined);
  throws(() => openCheckpoint(empty), /wanted a JSON object with a weight_map/);
});
