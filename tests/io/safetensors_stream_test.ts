/** Tests lib/io/safetensors_stream.ts: the same file as from tensors in memory, or none. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { join } from "node:path";
import { writeSafetensors } from "../../lib/io/safetensors.ts";
import { streamSafetensors } from "../../lib/io/safetensors_stream.ts";

const folder = await Deno.makeTempDir();

Deno.test("tensors that are streamed give the same file, each read when its turn comes", async () => {
  const path = join(folder, "streamed"), turns: string[] = [];
  const tensors = {
    a: { shape: [2, 2], data: Float32Array.of(1, -2, 3.5, 0), dtype: "BF16" },
    b: { shape: [3], data: Int32Array.of(4, 5, -6), dtype: "I64" },
  } as const;
  await streamSafetensors(
    path,
    Object.fromEntries(
      Object.entries(tensors).map(([name, { shape, dtype, data }]) => [name, {
        ...{ shape, dtype },
        read: () => {
          turns.push(name);
          return data;
        },
      }]),
    ),
  );
  await writeSafetensors(join(folder, "whole"), tensors);
  deepEqual(Deno.readFileSync(path), Deno.readFileSync(join(folder, "whole")));
  deepEqual(turns, ["a", "b"]);
});

Deno.test("a stream whose values do not fit leaves nothing", async () => {
  const path = join(folder, "unstreamed"), read = () => Float32Array.of(1);
  const tensors = { t: { shape: [2], dtype: "F32", read } } as const;
  await rejects(streamSafetensors(path, tensors), /tensor t \[2\] from 1 values: wanted 2/);
  for await (const { name } of Deno.readDir(folder)) {
    equal(name.startsWith("unstreamed"), false, name);
  }
});
