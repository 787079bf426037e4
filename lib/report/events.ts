/**
 * What runs yield. Long work is an async generator of these; tasks print them, append them to files, and
 * notebooks plot the same stream. Types only.
 */

/** Why a generation ended. */
export type EndReason =
  | "end token"
  | "stop token"
  | "stop string"
  | "length limit"
  | "positions"
  | "abort";

/** The prompt has been read and the first token chosen. */
export interface PrefillEvent {
  type: "prefill";
  tokens: number[];
  ms: number;
}

/** The tree of a round and what the target said of it, node by node; node 0 is the root. */
export interface RoundTrace {
  tokens: number[];
  /** -1 at the root; parents stand before children. */
  parents: number[];
  /** Sum of the draft's log-probabilities along the path; 0 at the root. */
  scores: number[];
  /** The target's most likely token after each node, by the processed distribution. */
  choices: number[];
  /** Its processed probability of each node's token after the node's parent; 1 at the root. */
  probabilities: number[];
  /** Accepted nodes in order, the root not among them. */
  path: number[];
  /** Its processed probability of the extra token, the one after the last accepted node. */
  extra?: number;
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
  /** Proposing the tree; the target's forward; choosing tokens from its logits; the rest. */
  draftMs: number;
  verifyMs: number;
  sampleMs: number;
  hostMs: number;
  /** Present when a trace was asked for. */
  trace?: RoundTrace;
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
  /** Time of the update, waiting for its batch included. */
  ms: number;
  tokensPerSecond: number;
  secondsLeft: number;
  /** Resident memory of the process. */
  memoryMegabytes?: number;
}

/** Acceptance length measured by decoding prompts, with the interval over prompts. */
export interface TauEstimate {
  value: number;
  low: number;
  high: number;
  /** Tokens emitted, over target forwards. */
  emitted: number;
  forwards: number;
  /** The same of each prompt, in order; runs before there was this field lack it. */
  counts?: [emitted: number, forwards: number][];
}

/** Metrics on validation examples, without an update. */
export interface ValidationEvent {
  type: "validation";
  step: number;
  loss: number;
  passes: PassMetrics[];
  /** Measured by decoding validation prompts. */
  tau?: TauEstimate;
  /** The draft is the best one so far by tau. */
  best?: boolean;
}

/** A checkpoint is complete on disk. */
export interface CheckpointEvent {
  type: "checkpoint";
  step: number;
  path: string;
}

export type TrainingEvent = StepEvent | ValidationEvent | CheckpointEvent;

/** A training step is over and its draft on disk; `before`: it already was when the run began. */
export interface FinishedEvent {
  type: "finished";
  path: string;
  before: boolean;
}

/** An event of a training of several steps, with the number of its step from 1. */
export interface StagedEvent {
  stage: number;
  event: TrainingEvent | FinishedEvent;
}

/** One conversation has been generated. */
export interface ExampleEvent {
  type: "example";
  id: string;
  done: number;
  total: number;
  tokens: number;
}
