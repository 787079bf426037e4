/** `deno task bench attention`: a training step on a device with the pages of attention and without. Called by `bench.ts`. */
import { openWebGpuBackend } from "../backend/webgpu/backend.ts";
import {
  ATTENTION_LENGTHS,
  ATTENTION_OPS,
  type AttentionRow,
  measureAttention,
} from "../bench/attention.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

/** A length on both; without the pages a step may not fit. */
export interface AttentionPair {
  length: number;
  pages: AttentionRow;
  expansion?: AttentionRow;
  /** Why there is no expansion. */
  failed?: string;
}

async function measure(length: number, { pages }: { pages: boolean }): Promise<AttentionRow> {
  using backend = await openWebGpuBackend(pages ? {} : { expanded: ATTENTION_OPS });
  return await measureAttention(backend, { length });
}

export async function benchAttention(
  { say, signal }: Pick<Io, "say" | "signal">,
): Promise<AttentionPair[]> {
  const rows: AttentionPair[] = [], mb = (bytes: number) => (bytes / 1e6).toFixed(0);
  for (const length of ATTENTION_LENGTHS) {
    if (signal.aborted) break;
    const row: AttentionPair = { length, pages: await measure(length, { pages: true }) };
    try {
      row.expansion = await measure(length, { pages: false });
    } catch (error) {
      row.failed = (error as Error).message;
    }
    rows.push(row);
    const apart = Math.abs(row.pages.loss / (row.expansion?.loss ?? row.pages.loss) - 1);
    if (!(apart < 1e-3)) {
      throw new Error(
        `Cannot compare steps of T ${length}: found losses ${row.pages.loss} and ${row.expansion?.loss}, wanted equal ones`,
      );
    }
    const { pages, expansion } = row;
    say(
      `T ${length}: ${mb(pages.bytes)} MB, ${pages.ms.toFixed(0)} ms with the pages; ${
        expansion ? `${mb(expansion.bytes)} MB, ${expansion.ms.toFixed(0)} ms without` : row.failed
      }`,
    );
  }
  say(formatTable([
    ["three passes", "MB", "MB expanded", "ratio", "ms", "ms expanded", "ratio"],
    ...rows.map(({ length, pages, expansion: other }) => [
      `T ${length}`,
      mb(pages.bytes),
      other ? mb(other.bytes) : "does not fit",
      other ? (pages.bytes / other.bytes).toFixed(2) : "",
      pages.ms.toFixed(0),
      other?.ms.toFixed(0) ?? "",
      other ? (pages.ms / other.ms).toFixed(2) : "",
    ]),
  ]));
  return rows;
}
