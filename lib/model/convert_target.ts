/**
 * A target from a GGUF file as a Hugging Face folder, which every task reads: published names, floats as wide as the
 * file's values need. Tokenizer files are the original model's: a GGUF file has no `tokenizer.json`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import type { Json } from "../io/json.ts";
import type { TensorSource } from "../io/safetensors.ts";
import { streamSafetensors, type TensorToStream } from "../io/safetensors_stream.ts";
import { targetConfigOf } from "./config.ts";
import { publishedShapes } from "./read_weights.ts";

/**
 * Writes `config.json` and `model.safetensors`, as a whole or not at all. Blocks of integers become F32: 16 bits do not
 * hold a scale times an integer.
 * @throws when `out` is there, or a tensor is missing or cannot be read.
 */
export async function convertTarget(
  out: string,
  { source, json }: { source: TensorSource; json: Json },
): Promise<void> {
  if (existsSync(out)) throw new Error(`Cannot write ${out}: it is there, wanted a new folder`);
  const tensors: Record<string, TensorToStream> = {};
  const shapes = publishedShapes(targetConfigOf(json, source.path));
  for (const [name, shape] of Object.entries(shapes)) {
    const { dtype } = source.info(name), kept = dtype === "F16" || dtype === "BF16";
    tensors[name] = { shape, dtype: kept ? dtype : "F32", read: () => source.readFloat32(name) };
  }
  await writeFolderAtomic(out, async (folder) => {
    await streamSafetensors(join(folder, "model.safetensors"), tensors);
    await writeFileAtomic(join(folder, "config.json"), `${JSON.stringify(json, null, 2)}\n`);
  });
}
