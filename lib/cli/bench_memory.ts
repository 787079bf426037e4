/** `deno task bench memory`: a training step by passes and lengths, each in a process of its own. Called by `bench.ts`. */
import { fitMemory, MEMORY_LENGTHS, MEMORY_PASSES, type MemoryRow } from "../bench/memory.ts";
import { formatTable } from "../report/table.ts";
import { measured } from "./bench_process.ts";
import type { Io } from "./command.ts";

/** Measures and prints: bytes and milliseconds of a step, and what bytes are made of. */
export async function benchMemory({ say }: Pick<Io, "say">): Promise<MemoryRow[]> {
  const rows: MemoryRow[] = [];
  for (const length of MEMORY_LENGTHS) {
    for (const passes of MEMORY_PASSES) {
      rows.push(await measured<MemoryRow>("memory", `${passes},${length}`));
    }
  }
  const at = (length: number, passes: number) =>
    rows.find((r) => r.length === length && r.passes === passes)!;
  say(formatTable([
    ["MB (ms) a step", ...MEMORY_PASSES.map((p) => `${p} pass${p > 1 ? "es" : ""}`)],
    ...MEMORY_LENGTHS.map((length) => [
      `T ${length}`,
      ...MEMORY_PASSES.map((passes) => {
        const { bytes, ms } = at(length, passes);
        return `${(bytes / 1e6).toFixed(0)} (${ms.toFixed(0)})`;
      }),
    ]),
  ]));
  const [a, b, c, d] = fitMemory(rows);
  say(
    `fit: ${(a / 1e6).toFixed(0)} MB + ${b.toFixed(0)} T^2 + ${c.toFixed(0)} P T + ` +
      `${d.toFixed(0)} P T^2 bytes`,
  );
  return rows;
}
