/** The most memory that this process had resident so far. Other processes: `watched.ts`. */
import { readFileSync } from "node:fs";
import process from "node:process";

/** Largest resident memory of this process so far, bytes. */
export function peakMemory(): number {
  try {
    return 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  } catch {
    return 1024 * process.resourceUsage().maxRSS; // not Linux, or not allowed
  }
}
