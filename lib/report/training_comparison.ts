/**
 * Two trainings side by side: last numbers of each stage, tau over all updates in one figure, and the paired
 * difference of the last tau where both decoded the same validation prompts. From stored rows only. Two evaluations:
 * `comparison.ts`.
 */
import { bootstrap } from "../eval/stats.ts";
import { bothPlaces, commonSections, type Difference, showDifference } from "./comparison.ts";
import { UNKNOWN_PLACE } from "./environment.ts";
import type { ValidationEvent } from "./events.ts";
import { axis, COLORS, layout, round } from "./figure_layout.ts";
import type { Figure } from "./figures.ts";
import type { Page } from "./page.ts";
import type { TrainingRun } from "./run_folder.ts";
import type { TrainingRecord } from "./stored_run.ts";
import { offsetsOf, type Stages } from "./training_figures.ts";
import { bestValidation, settingRows, stageRows } from "./training_page.ts";

export interface ComparedTraining {
  run: TrainingRun;
  record: Partial<TrainingRecord>;
}

type Counts = readonly [emitted: number, forwards: number];
const ratio = (counts: readonly Counts[]) =>
  counts.reduce((n, [e]) => n + e, 0) / counts.reduce((n, [, f]) => n + f, 0);

/** The validation of the draft that a training returns: the best of its last stage. */
const keptValidation = ({ stages }: TrainingRun) => bestValidation(stages.at(-1) ?? []);

/** B minus A of the kept drafts' tau; undefined where prompts were not stored or are not the same ones. */
export function tauDifference(
  [a, b]: readonly [ComparedTraining, ComparedTraining],
): Difference | undefined {
  const hash = ({ record }: ComparedTraining) => record.inputs?.validation?.hash;
  const [own, other] = [a, b].map(({ run }) => keptValidation(run)?.tau?.counts);
  const same = hash(a) !== undefined && hash(a) === hash(b);
  if (!same || own === undefined || other === undefined || own.length !== other.length) {
    return undefined;
  }
  const pairs = own.map((counts, i) => ({ a: counts, b: other[i] }));
  const apart = (drawn: readonly typeof pairs[0][]) =>
    ratio(drawn.map((p) => p.b)) - ratio(drawn.map((p) => p.a));
  return { value: apart(pairs), ...bootstrap(pairs, apart) };
}

/** One number of the validations of both runs over all updates. */
function overlay(
  both: readonly (readonly [string, Stages])[],
  { title, y, value }: {
    title: string;
    y: string;
    value: (e: ValidationEvent) => number | undefined;
  },
): Figure {
  const curves = both.map(([name, stages]) => {
    const offsets = offsetsOf(stages);
    const points = stages.flatMap((events, s) =>
      events.flatMap((e) => {
        const number = e.type === "validation" ? value(e) : undefined;
        return number === undefined ? [] : [{ x: offsets[s] + e.step, y: number }];
      })
    );
    return { name, points };
  });
  return {
    title,
    data: curves.map(({ name, points }, i) => ({
      type: "scatter",
      mode: "lines+markers",
      name,
      x: points.map((p) => p.x),
      y: points.map((p) => p.y),
      line: { color: COLORS[i] },
    })),
    layout: layout({ xaxis: axis("update"), yaxis: axis(y) }),
    table: [
      ["run", "update", y],
      ...curves.flatMap(({ name, points }) => points.map((p) => [name, p.x, round(p.y)])),
    ],
  };
}

/** The page of two trainings, A and B by `names`; differences are B minus A. */
export function trainingComparison(
  both: readonly [ComparedTraining, ComparedTraining],
  { names, warnings }: { names: readonly [string, string]; warnings: readonly string[] },
): Page {
  const [heading, ...first] = stageRows(both[0].run.stages);
  const rows = [first, stageRows(both[1].run.stages).slice(1)]
    .flatMap((stages, i) => stages.map((row) => [names[i], ...row]));
  const found = tauDifference(both);
  const settings = both.map(({ run, record }) =>
    Object.fromEntries(
      settingRows({ ...record.command && { command: record.command.options }, ...run.settings }),
    )
  ) as [Record<string, string>, Record<string, string>];
  const { before, after } = commonSections({ warnings, names, settings });
  const stages = both.map(({ run }, i) => [names[i], run.stages] as const);
  const places = both.map(({ run, record }) =>
    record.environment ?? run.environment ?? UNKNOWN_PLACE
  );
  const figures = [
    overlay(stages, { title: "tau on validation prompts", y: "tau", value: (e) => e.tau?.value }),
    overlay(stages, {
      title: "Validation loss, summed over passes",
      y: "loss",
      value: (e) => e.loss,
    }),
  ].filter(({ data }) => data.some((d) => (d.x as number[]).length > 0));
  return {
    title: "GRIFFIN Lab: two trainings",
    lead: `${names[0]} beside ${names[1]}`,
    environment: bothPlaces([places[0], places[1]]),
    sections: [
      before,
      {
        heading: "Result",
        text: found === undefined
          ? "A paired difference of tau takes the same validation prompts, and their counts stored: these runs lack them."
          : `tau of the drafts that were kept, ${names[1]} minus ${
            names[0]
          }, on the same validation prompts, paired: ` +
            `${showDifference(found)} (95 % interval over prompts).`,
        table: [["run", ...heading], ...rows],
        figures,
      },
      after,
    ],
  };
}
