/**
 * A Deno process that is run to its end: how long it took, and the most memory that it had resident, which it tells
 * itself as it ends (`peak_at_exit.ts`).
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a process took. */
export interface Watched {
  seconds: number;
  /** Peak of resident memory, bytes. */
  peakBytes: number;
  /** What it wrote to standard output. */
  stdout: string;
}

/** Runs Deno with these arguments. @throws when it fails; what it wrote to standard error was shown. */
export async function watchDeno(
  [command, ...args]: string[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<Watched> {
  const folder = await mkdtemp(join(tmpdir(), "watched-")), peak = join(folder, "peak");
  try {
    const began = performance.now();
    const { success, code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [command, "--preload", join(import.meta.dirname!, "peak_at_exit.ts"), ...args],
      env: { GRIFFIN_PEAK: peak },
      ...{ signal, stdin: "null", stdout: "piped", stderr: "inherit" },
    }).output();
    if (!success) {
      throw new Error(`Cannot go on: deno ${command} ${args.join(" ")} ended with ${code}`);
    }
    const seconds = (performance.now() - began) / 1000;
    const peakBytes = Number(await readFile(peak, "utf8"));
    return { seconds, peakBytes, stdout: new TextDecoder().decode(stdout) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
