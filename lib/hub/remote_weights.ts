/**
 * What weights on the hub hold, read from the headers of their safetensors files by ranges: a few kilobytes instead of
 * gigabytes. For those who plan before they download; the reader of whole files is `lib/io/safetensors.ts`.
 */
import { fileUrl } from "./download.ts";
import type { RemoteFile } from "./listing.ts";
import { type Asking, request } from "./request.ts";

type Header = Record<string, { dtype: string; shape: number[] }>;

/** Longest header that safetensors allows, bytes. */
const LONGEST_HEADER = 100e6;

/** Bytes [from, to) of a file; a server without ranges is left as soon as they have come. */
async function readRange(url: string, asking: Asking, [from, to]: [from: number, to: number]) {
  const headers = { range: `bytes=${from}-${to - 1}` };
  const response = await request(url, { ...asking, headers }), bytes = new Uint8Array(to - from);
  let at = response.status === 206 ? from : 0, why = "it ended";
  try {
    for await (const chunk of response.body!) {
      const skip = Math.max(0, from - at), part = chunk.subarray(skip, Math.max(skip, to - at));
      if (part.length > 0) bytes.set(part, at + skip - from);
      at += chunk.length;
      if (at >= to) return bytes;
    }
  } catch (cause) {
    asking.signal?.throwIfAborted();
    why = (cause as Error).message;
  }
  throw new Error(`Cannot read the header of ${url}: ${why} after ${at} bytes, wanted ${to}`);
}

/**
 * How many values of which type (`BF16`, `F32` ...) safetensors files hold, all together.
 * @throws naming the file when its header is damaged, and as `request` does.
 */
export async function countRemoteValues(
  files: readonly RemoteFile[],
  { asking, commit }: { asking: Asking; commit: string },
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  await Promise.all(files.map(async ({ path, size }) => {
    const url = fileUrl(asking, { commit, path });
    const start = await readRange(url, asking, [0, 8]);
    const length = Number(new DataView(start.buffer).getBigUint64(0, true));
    if (length > Math.min(size - 8, LONGEST_HEADER)) {
      throw new Error(`Cannot read the header of ${url}: it would have ${length} bytes of ${size}`);
    }
    const text = new TextDecoder().decode(await readRange(url, asking, [8, 8 + length]));
    try {
      const { __metadata__: _, ...tensors } = JSON.parse(text) as Header;
      for (const { dtype, shape } of Object.values(tensors)) {
        counts[dtype] = (counts[dtype] ?? 0) + shape.reduce((a, b) => a * b, 1);
      }
    } catch (cause) {
      throw new Error(`Cannot read the header of ${url}: wanted JSON of tensors`, { cause });
    }
  }));
  return counts;
}
