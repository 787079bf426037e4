/**
 * The report of a stored training, for `renderPage` and `renderMarkdown`: curves and last numbers of each stage, cost,
 * inputs, drafts, and the command that makes it again. From stored rows only. The curves: `training_page.ts`.
 */
import { NOT_RECORDED, UNKNOWN_PLACE } from "./environment.ts";
import type { Page, Section } from "./page.ts";
import { commandLine } from "./provenance.ts";
import {
  costSection,
  formatBytes,
  formatSeconds,
  inputsSection,
  reproduceLine,
  reproduceSection,
} from "./report_sections.ts";
import type { TrainingRun } from "./run_folder.ts";
import type { TrainingRecord } from "./stored_run.ts";
import { trainingPage } from "./training_page.ts";

/** What the updates themselves say of time, tokens and memory. */
function updateCosts({ stages }: TrainingRun): [string, string][] {
  const steps = stages.flat().filter((e) => e.type === "step");
  const sum = (of: "ms" | "tokens") => steps.reduce((n, e) => n + (e[of] ?? NaN), 0);
  const memory = Math.max(0, ...steps.map((e) => e.memoryMegabytes ?? 0));
  const ms = sum("ms");
  return [
    ["updates that are stored", `${steps.length}`],
    ["time in them", Number.isFinite(ms) ? formatSeconds(ms / 1000) : NOT_RECORDED],
    ["tokens read by them", sum("tokens").toLocaleString("en")],
    ["largest resident memory at an update", memory > 0 ? formatBytes(memory * 1e6) : NOT_RECORDED],
  ];
}

function draftsSection({ drafts = [] }: Partial<TrainingRecord>): Section[] {
  if (drafts.length === 0) return [];
  return [{
    heading: "Drafts",
    table: [
      ["stage", "folder", "hash", "size"],
      ...drafts.map((d) => [d.step, d.folder, d.hash, formatBytes(d.bytes)]),
    ],
  }];
}

/** The line that makes a training again, its data first where the data's own command is known. */
export function trainingLine(
  { command, dataCommand }: Partial<TrainingRecord>,
  { out }: { out?: string } = {},
): string | undefined {
  const line = command && reproduceLine({ command }, { out });
  if (line === undefined || dataCommand === undefined) return line;
  const folder = `${command!.options.data}`;
  return `${commandLine(dataCommand, { more: { out: folder } })} && ${line}`;
}

export function trainingReport(
  run: TrainingRun,
  { record, question = record.question }: { record: Partial<TrainingRecord>; question?: string },
): Page {
  const environment = record.environment ?? run.environment ?? UNKNOWN_PLACE;
  const { command, resumed = [] } = record;
  const settings = command === undefined
    ? run.settings
    : { command: command.options, ...run.settings };
  const page = trainingPage(run.stages, { environment, settings });
  const shown = page.sections.filter(({ figures, table }) =>
    table !== undefined || (figures ?? []).length > 0
  );
  const [last] = shown.slice(-1);
  const data = record.dataCommand === undefined && command !== undefined
    ? " The command that made its data is not recorded; their hash is."
    : "";
  const moved = resumed.map((e) => `${e.date}, commit ${e.commit}, ${e.cpu}`);
  return {
    ...page,
    lead: question ?? page.lead,
    sections: [
      ...shown.slice(0, -1),
      ...draftsSection(record),
      costSection(record, { more: updateCosts(run) }),
      {
        ...last,
        ...(moved.length > 0 && {
          warnings: moved.map((m) => `It was stopped, and went on elsewhere: ${m}.`),
        }),
      },
      inputsSection(record),
      reproduceSection({
        line: trainingLine(record),
        note:
          `Losses and tau come out the same on the same machine, and the draft has the same hash.${data}`,
        commit: environment.commit,
      }),
    ],
  };
}
