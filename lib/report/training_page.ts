/**
 * The page of a training: how good the draft has become, whether it still gains, whether the run is healthy,
 * in this order. Made from events only, of a run that is finished or not. The curves: `training_figures.ts`;
 * the events of a folder: `run_folder.ts`.
 */
import type { Environment } from "./environment.ts";
import type { PassMetrics, StepEvent, TrainingEvent, ValidationEvent } from "./events.ts";
import type { Figure } from "./figures.ts";
import type { Page, Section } from "./page.ts";
import { withInterval } from "./table.ts";
import { type Curve, quantile, type Stages, trainingFigure } from "./training_figures.ts";

const NONE = "-";
const percent = (share: number | undefined) =>
  typeof share === "number" ? (100 * share).toFixed(1) : NONE;
const digits = (value: number | undefined, n: number) =>
  typeof value === "number" ? value.toFixed(n) : NONE;

/** The last element that satisfies, typed by event. */
function lastOf<T extends TrainingEvent["type"]>(events: readonly TrainingEvent[], type: T) {
  return events.findLast((e): e is Extract<TrainingEvent, { type: T }> => e.type === type);
}

/** The validation to keep: the one marked best, or that of the highest tau, or of the lowest loss. */
export function bestValidation(events: readonly TrainingEvent[]): ValidationEvent | undefined {
  const checks = events.filter((e) => e.type === "validation");
  const marked = checks.findLast((e) => e.best === true);
  if (marked !== undefined || checks.length === 0) return marked;
  const decoded = checks.filter((e) => e.tau !== undefined);
  return decoded.length > 0
    ? decoded.reduce((a, b) => b.tau!.value > a.tau!.value ? b : a)
    : checks.reduce((a, b) => b.loss < a.loss ? b : a);
}

/** A row a stage: the last numbers of each, heading first. Shares are in percent, top-1 of each pass. */
export function stageRows(stages: Stages): (string | number)[][] {
  const rows = stages.map((events, i) => {
    const step = lastOf(events, "step"), check = lastOf(events, "validation");
    const best = bestValidation(events), passes = (check ?? step)?.passes ?? [];
    const speeds = events.flatMap((e) => e.type === "step" ? [e.tokensPerSecond] : []);
    const { tau } = check ?? {};
    return [
      i + 1,
      step === undefined ? NONE : step.step < step.total ? `${step.step}/${step.total}` : step.step,
      digits(step?.loss, 3),
      digits(check?.loss, 3),
      tau === undefined ? NONE : withInterval(tau.value, [tau.low, tau.high]),
      passes.map((p) => percent(p.top1)).join(" / ") || NONE,
      passes.map((p) => percent(p.top10)).join(" / ") || NONE,
      percent(passes.at(-1)?.misaligned),
      best === undefined ? NONE : best.step === check?.step ? "last" : best.step,
      speeds.length > 0 ? Math.round(quantile(speeds, 0.5)) : NONE,
    ];
  });
  const heading = ["stage", "updates", "loss", "val. loss", "tau", "top-1 %"];
  const more = ["top-10 %", "misaligned %", "best at", "tokens/s"];
  return [[...heading, ...more], ...rows];
}

/** One curve for each pass there is. */
function byPass<E extends StepEvent | ValidationEvent>(
  stages: Stages,
  key: keyof PassMetrics,
): Curve<E>[] {
  const passes = Math.max(0, ...stages.flat().map((e) => "passes" in e ? e.passes.length : 0));
  return Array.from({ length: passes }, (_, p) => ({
    name: `pass ${p + 1}`,
    value: (event: E) => event.passes[p]?.[key],
  }));
}

const SHARE = { tickformat: ".0%" };

/** tau of validations with whiskers: an interval that holds two points says that they may be one. */
function tauFigure(stages: Stages): Figure {
  const figure = trainingFigure(stages, {
    title: "tau on validation prompts, 95 % interval",
    y: "tokens a target forward",
    validation: [{ name: "tau", value: (e) => e.tau?.value }],
  });
  for (const trace of figure.data) {
    const taus = stages.map((s) =>
      s.flatMap((e) => e.type === "validation" && e.tau != null ? [e.tau] : [])
    ).filter((s) => s.length > 0);
    // With the same gaps between stages as the points.
    const parts = (distance: (t: typeof taus[0][0]) => number) =>
      taus.flatMap((s, i) => [...(i > 0 ? [0] : []), ...s.map(distance)]);
    trace.error_y = {
      type: "data",
      symmetric: false,
      array: parts((t) => t.high - t.value),
      arrayminus: parts((t) => t.value - t.low),
      thickness: 1.5,
    };
  }
  return figure;
}

function accuracyFigures(stages: Stages): Figure[] {
  return ([1, 3, 10] as const).map((n) => {
    const key = `top${n}` as const, what = n === 1 ? "puts first" : `has among its first ${n}`;
    return trainingFigure(stages, {
      title: `True tokens that the draft ${what}`,
      y: `top-${n}`,
      training: byPass<StepEvent>(stages, key),
      validation: byPass<ValidationEvent>(stages, key),
      yaxis: SHARE,
      focus: true,
    });
  });
}

function lossFigure(stages: Stages): Figure {
  return trainingFigure(stages, {
    title: "Loss, summed over passes",
    y: "loss",
    training: [{ name: "training", value: (e) => e.loss }],
    validation: [{ name: "validation", value: (e) => e.loss }],
    yaxis: { rangemode: "tozero" },
    band: true,
  });
}

function alignmentFigures(stages: Stages): Figure[] {
  return [
    trainingFigure(stages, {
      title: "Misaligned: true token outside the top k",
      y: "share of rows",
      training: byPass<StepEvent>(stages, "misaligned"),
      validation: byPass<ValidationEvent>(stages, "misaligned"),
      yaxis: SHARE,
      focus: true,
    }),
    trainingFigure(stages, {
      title: "Rows that the alignment mask keeps",
      y: "share of trainable rows",
      training: byPass<StepEvent>(stages, "kept"),
      yaxis: { ...SHARE, rangemode: "tozero" },
    }),
  ];
}

function healthFigures(stages: Stages): Figure[] {
  const single = (title: string, value: Curve<StepEvent>["value"], yaxis = {}) =>
    trainingFigure(stages, {
      title,
      y: title.split(",")[0].toLowerCase(),
      training: [{ name: title.toLowerCase(), value }],
      yaxis: { rangemode: "tozero", ...yaxis },
      band: true,
    });
  return [
    single("Gradient norm", (e) => e.gradientNorm, {
      type: "log",
      rangemode: "normal",
      dtick: "D2",
    }),
    single("Learning rate", (e) => e.learningRate, { exponentformat: "e" }),
    single("Tokens a second", (e) => e.tokensPerSecond),
    single("Resident memory, MB", (e) => e.memoryMegabytes),
  ];
}

/** What a reader should know before the numbers: unfinished stages, a best that is not the last, lost losses. */
export function findings(stages: Stages): string {
  const said: string[] = [];
  stages.forEach((events, i) => {
    const step = lastOf(events, "step"), best = bestValidation(events);
    const last = lastOf(events, "validation");
    if (step === undefined) return;
    if (step.step < step.total) {
      said.push(`Stage ${i + 1} is at update ${step.step} of ${step.total}.`);
    }
    if (best !== undefined && last !== undefined && best.step < last.step) {
      said.push(
        `In stage ${
          i + 1
        } validation was best at update ${best.step}, not at its last: longer is not better there.`,
      );
    }
    const broken = events.filter((e) => e.type === "step" && !Number.isFinite(e.loss)).length;
    if (broken > 0) said.push(`${broken} updates of stage ${i + 1} have no finite loss.`);
  });
  return said.join(" ");
}

/** The page for `renderPage`. `settings` may be nested; inner names follow after a dot. */
export function trainingPage(
  stages: Stages,
  { environment, settings }: { environment: Environment; settings: Record<string, unknown> },
): Page {
  const isDrawn = ({ data }: Figure) => data.length > 0;
  const sections: Section[] = [
    {
      heading: "Result",
      text: [
        findings(stages),
        "Numbers of a stage are its last, of validation where there was one; of pass 1 / pass 2 / ... where " +
        "there are several. tau counts tokens a target forward, the extra token included; brackets are 95 % " +
        "intervals. In the curves thin lines are training, points are validation.",
      ].join(" ").trim(),
      table: stageRows(stages),
      figures: [tauFigure(stages), ...accuracyFigures(stages), lossFigure(stages)].filter(isDrawn),
    },
    {
      heading: "Alignment",
      text: "What pass n still trains on: rows that drafting can reach with the draft as it is.",
      figures: alignmentFigures(stages).filter(isDrawn),
    },
    {
      heading: "Health",
      text:
        "Long series are medians of bins; the grey band holds the middle eight tenths of a bin.",
      figures: healthFigures(stages).filter(isDrawn),
    },
    {
      heading: "Settings",
      table: [["setting", "value"], ...settingRows(settings)],
    },
  ];
  return {
    title: "GRIFFIN Lab: training of a draft",
    lead: "A draft trained in stages of 1, 2, 3 ... passes; stage n continues from stage n - 1.",
    sections,
    environment,
  };
}

/** `recipe.weights.token`, `0.1`: nested settings as rows. */
export function settingRows(settings: Record<string, unknown>, prefix = ""): [string, string][] {
  return Object.entries(settings).flatMap(([key, value]): [string, string][] => {
    const isNested = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isNested) return settingRows(value as Record<string, unknown>, `${prefix}${key}.`);
    return [[`${prefix}${key}`, typeof value === "string" ? value : JSON.stringify(value) ?? NONE]];
  });
}
