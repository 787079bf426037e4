/**
 * A training event as named numbers, the form that viewers of runs want: `pass1/top1`, `validation/tau`.
 * One naming for all of them. Written by `tensorboard.ts` and `mlflow.ts`, which know files and servers.
 */
import type { PassMetrics, TrainingEvent } from "./events.ts";

/** A number under its tag. */
export interface Scalar {
  tag: string;
  /** May be NaN or infinite. */
  value: number;
}

/** Where an event stands in a training of several stages. */
export interface Place {
  /** Stage of the training, from 1: the number of passes. Written as the scalar `stage` when given. */
  stage?: number;
  /** Updates done in earlier stages; added to the event's own, so that the count goes on. */
  offset?: number;
}

/** Tags of a pass's metrics. */
const PASS_TAGS: Record<keyof PassMetrics, string> = {
  featureLoss: "feature_loss",
  tokenLoss: "token_loss",
  topKLoss: "top_k_loss",
  top1: "top1",
  top3: "top3",
  top10: "top10",
  misaligned: "misaligned",
  kept: "kept",
};

function passScalars(passes: readonly PassMetrics[]): [string, number | undefined][] {
  return passes.flatMap((pass, i) =>
    (Object.keys(PASS_TAGS) as (keyof PassMetrics)[]).map((key) =>
      [`pass${i + 1}/${PASS_TAGS[key]}`, pass[key]] as [string, number | undefined]
    )
  );
}

function named(event: TrainingEvent, stage: number | undefined): [string, number | undefined][] {
  if (event.type === "step") {
    return [
      ["loss", event.loss],
      ["learning_rate", event.learningRate],
      ["gradient_norm", event.gradientNorm],
      ["tokens_per_second", event.tokensPerSecond],
      ["memory_megabytes", event.memoryMegabytes],
      ["epoch", event.epoch],
      ["stage", stage],
      ...passScalars(event.passes),
    ];
  }
  if (event.type === "validation") {
    const { tau } = event;
    return [
      ["loss", event.loss],
      ["tau", tau?.value],
      ["tau_low", tau?.low],
      ["tau_high", tau?.high],
      ...passScalars(event.passes),
    ].map(([tag, value]) => [`validation/${tag}`, value] as [string, number | undefined]);
  }
  return [];
}

/** The event's numbers; none for a checkpoint. What an event does not have (null in a file) is left out. */
export function scalarsOf(event: TrainingEvent, { stage }: Pick<Place, "stage"> = {}): Scalar[] {
  return named(event, stage).flatMap(([tag, value]) =>
    typeof value === "number" ? [{ tag, value }] : []
  );
}
