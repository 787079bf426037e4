/**
 * What runs yield. Long work is an async generator of these; tasks print them, append them to files, and
 * notebooks plot the same stream. Types only.
 */

/** Why a generation ended. */
export type EndReason = "end token" | "length limit" | "positions" | "abort";

/** The prompt has been read and the first token chosen. */
export interface PrefillEvent {
  type: "prefill";
  tokens: number[];
  ms: number;
}

/** One target forward after prefill: a plain token, or a tree drafted and verified. */
export interface RoundEvent {
  type: "round";
  /** Tokens emitted: accepted ones and the extra token. */
  tokens: number[];
  /** Nodes drafted beside the root, and the deepest level among them. */
  drafted: number;
  depth: number;
  accepted: number;
  draftMs: number;
  verifyMs: number;
  hostMs: number;
}

export interface EndEvent {
  type: "end";
  reason: EndReason;
}

export type GenerationEvent = PrefillEvent | RoundEvent | EndEvent;

/** Metrics of one pass of a training step. */
export interface PassMetrics {
  featureLoss: number;
  tokenLoss: number;
  topKLoss: number;
  /** Share of trained rows whose true token is the draft's first, or among its first 3 or 10. */
  top1: number;
  top3: number;
  top10: number;
  /** Share of all trainable rows whose true token is outside the alignment's top k. */
  misaligned: number;
  /** Share of trainable rows that the alignment mask keeps in this pass. */
  kept: number;
}

/** One optimiser step. */
export interface StepEvent {
  type: "step";
  step: number;
  total: number;
  epoch: number;
  loss: number;
  passes: PassMetrics[];
  learningRate: number;
  gradientNorm: number;
  tokens: number;
  tokensPerSecond: number;
  secondsLeft: number;
  /** Resident set of the process. */
  memoryMegabytes?: number;
  /** Euclidean norm of all parameters. */
  parameterNorm?: number;
}

/** Metrics on validation examples, without an update. */
export interface ValidationEvent {
  type: "validation";
  step: number;
  loss: number;
  passes: PassMetrics[];
  /** Acceptance length, measured by really decoding validation prompts, with its 95 % interval. */
  tau?: { value: number; low: number; high: number; emitted: number; forwards: number };
  /** This is the best validation of the run so far. */
  best?: boolean;
}

/** A checkpoint is complete on disk. */
export interface CheckpointEvent {
  type: "checkpoint";
  step: number;
  path: string;
}

export type TrainingEvent = StepEvent | ValidationEvent | CheckpointEvent;

/** One conversation has been generated. */
export interface ExampleEvent {
  type: "example";
  id: string;
  done: number;
  total: number;
  tokens: number;
}
