/**
 * Loaded before a task's own module by `watched.ts`: when the process ends it writes the most memory that it had
 * resident, in bytes, to the file that `GRIFFIN_PEAK` names. A process may always ask about itself, not about others.
 */
import { writeFileSync } from "node:fs";
import { env } from "node:process";
import { peakMemory } from "./peak.ts";

addEventListener("unload", () => writeFileSync(env.GRIFFIN_PEAK!, String(peakMemory())));
