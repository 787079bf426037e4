/** `deno task report ledger`: finds the runs, prints the paper's Table 1 beside them and writes it; or prints commands. */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import {
  type FoundEvaluation,
  type LedgerCell,
  type LedgerCommand,
  ledgerCommands,
  ledgerCount,
  ledgerOf,
  ledgerRows,
} from "../report/ledger.ts";
import { markdownTable } from "../report/page_markdown.ts";
import { EVALUATION_FILE, readStoredRun } from "../report/stored_run.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

/** Where runs are looked for when none is named. */
const RUNS = "runs";

/** Evaluations of these paths, or all below `runs`. @throws when a path that was named is no evaluation. */
async function findEvaluations(paths: readonly string[]): Promise<FoundEvaluation[]> {
  const named = paths.length > 0;
  if (!named && !existsSync(RUNS)) return [];
  const places = named ? paths : (await readdir(RUNS, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name === EVALUATION_FILE)
    .map((entry) => join(entry.parentPath, entry.name)).sort();
  const found: FoundEvaluation[] = [];
  for (const place of places) {
    const run = await readStoredRun(place).catch((cause) => {
      // Other tasks write files of this name, too.
      if (named) throw cause;
    });
    if (run?.kind === "evaluation") found.push({ path: run.path, evaluation: run.evaluation });
    else if (named) throw new Error(`Cannot put ${place} into the ledger: wanted an evaluation`);
  }
  return found;
}

/** The lines of `--commands`, a comment before each model. */
function commandText(commands: readonly LedgerCommand[]): string {
  const lines: string[] = [];
  for (const [model, own] of Map.groupBy(commands, (c) => c.model)) {
    lines.push(`# ${model}`, ...own.flatMap((c) => c.command ?? []));
    const missing = Map.groupBy(own.filter((c) => c.missing !== undefined), (c) => c.method);
    for (const [method, [{ missing: why }]] of missing) lines.push(`# ${method}: ${why}`);
  }
  return lines.join("\n");
}

/** Prints the ledger and writes it as Markdown and JSON; with `commands` prints those alone. */
export async function reportLedger(
  runs: readonly string[],
  { commands, out = "runs/reports/ledger", say }: {
    commands: boolean;
    out?: string;
    say: Io["say"];
  },
): Promise<LedgerCell[] | LedgerCommand[]> {
  if (commands) {
    const all = ledgerCommands();
    say(commandText(all));
    return all;
  }
  const cells = ledgerOf(await findEvaluations(runs)), rows = ledgerRows(cells);
  const says =
    `The paper ran on an A100 of 80 GB. tau is counted as its script counts; a number of the paper inside our ` +
    `95 % interval over questions is a match. ${ledgerCount(cells)}.`;
  say(`${formatTable(rows)}\n\n${says}`);
  const text = `# Table 1 of the paper and our runs\n\n${says}\n\n${markdownTable(rows)}\n`;
  await writeFileAtomic(join(out, "ledger.md"), text);
  await writeFileAtomic(join(out, "ledger.json"), `${JSON.stringify(cells, null, 1)}\n`);
  say(join(out, "ledger.md"));
  return cells;
}
