/**
 * Writing safetensors whose tensors are not all to be in memory: each is read, written and forgotten. The header is
 * known beforehand from shapes and types. Tensors that are there anyway: `safetensors.ts`.
 */
import { sizeOf } from "../graph/node.ts";
import { writeFileAtomic } from "./atomic.ts";
import { ELEMENT_BYTES, encodeHeader, encodeTensor, type TensorToWrite } from "./safetensors.ts";

/** A tensor whose values are asked for when its turn has come. */
export interface TensorToStream extends Required<Pick<TensorToWrite, "shape" | "dtype">> {
  read: () => TensorToWrite["data"];
}

/**
 * Writes a file, names in the given order, atomically.
 * @throws when values do not fit their shape and type; nothing of the file is left then.
 */
export async function streamSafetensors(
  path: string,
  tensors: Record<string, TensorToStream>,
): Promise<void> {
  const header = encodeHeader(
    path,
    Object.entries(tensors).map(([name, { dtype, shape }]) =>
      [name, dtype, shape, sizeOf(shape) * ELEMENT_BYTES[dtype]] as const
    ),
    {},
  );
  await writeFileAtomic(
    path,
    function* () {
      yield* header;
      for (const [name, { shape, dtype, read }] of Object.entries(tensors)) {
        yield encodeTensor(name, { shape, dtype, data: read() })[1];
      }
    }(),
  );
}
