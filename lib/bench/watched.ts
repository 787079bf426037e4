/**
 * A process that is run to its end and watched: how long it took, and the most memory that it had resident. The system
 * keeps that peak, so looking at it now and then misses only what was taken after the last look.
 */
import { readFileSync } from "node:fs";

/** What a process took. */
export interface Watched {
  seconds: number;
  /** Peak of resident memory, bytes; 0 where the system does not tell of other processes. */
  peakBytes: number;
  /** What it wrote to standard output. */
  stdout: string;
}

/** Milliseconds between looks. */
const LOOK = 100;

/** Peak of a process so far, bytes; 0 if it is not known. */
function peakOf(pid: number): number {
  try {
    const [, kilobytes = "0"] = /VmHWM:\s+(\d+) kB/.exec(
      readFileSync(`/proc/${pid}/status`, "utf8"),
    ) ?? [];
    return 1024 * Number(kilobytes);
  } catch {
    return 0; // not Linux, or it has ended
  }
}

/** Runs Deno with these arguments. @throws when it fails; what it wrote to standard error was shown. */
export async function watchDeno(
  args: string[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<Watched> {
  const began = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    ...{ args, signal, stdin: "null", stdout: "piped", stderr: "inherit" },
  }).spawn();
  let peakBytes = 0;
  const look = () => peakBytes = Math.max(peakBytes, peakOf(child.pid));
  const timer = setInterval(look, LOOK);
  try {
    const { success, code, stdout } = await child.output();
    if (!success) throw new Error(`Cannot go on: deno ${args.join(" ")} ended with ${code}`);
    const seconds = (performance.now() - began) / 1000;
    return { seconds, peakBytes, stdout: new TextDecoder().decode(stdout) };
  } finally {
    clearInterval(timer);
  }
}
