/**
 * What is compared: every method at equal training tokens. All see the same stream of batches in the same order;
 * methods of several steps divide it among them. Run by `run.ts`, drawn by `figures.ts`.
 */
import { type PresetName, PRESETS, type Recipe } from "../../lib/mod.ts";

/** One row of the table. */
export interface Method {
  name: string;
  preset: PresetName;
  /** Passes of each step; the preset's where none are given. */
  passes?: readonly number[];
  /** Choices that differ from the preset's. */
  changes?: Partial<Recipe>;
  /** Its first step is that of this method, which trains the same way until then. */
  shares?: string;
}

export const METHODS: readonly Method[] = [
  { name: "eagle2", preset: "eagle2" },
  { name: "hass", preset: "hass" },
  { name: "fspad", preset: "fspad" },
  { name: "griffin step 1", preset: "griffin", passes: [1] },
  { name: "griffin steps 1-2", preset: "griffin", passes: [1, 2] },
  { name: "griffin", preset: "griffin" },
  {
    name: "griffin mask upstream",
    preset: "griffin",
    changes: { mask: "upstream" },
    shares: "griffin",
  },
  { name: "griffin no mask", preset: "griffin", changes: { mask: "none" }, shares: "griffin" },
  { name: "griffin attention upstream", preset: "griffin", changes: { attention: "upstream" } },
  { name: "griffin-upstream", preset: "griffin-upstream" },
  { name: "eagle3", preset: "eagle3" },
];

/** The method that the others are compared with. */
export const BASE = "griffin";

export const SETTINGS = {
  /** Epochs of the training data that each method reads, all its steps together. */
  epochs: 1,
  /** Learning rate of a first step, and of later ones. */
  learningRate: [1e-3, 6e-4],
  rows: 512,
  warmup: 50,
  /** Inner width of the draft. */
  inner: 704,
  seed: 0,
  /** Held-out prompts that tau is measured on, new tokens of each at most. */
  prompts: 80,
  maxTokens: 128,
};

/** Trees that tau is measured with: the one that pays on two cores, and the paper's. */
export const TREES = {
  "8 nodes": { tree: { depth: 6, width: 2, budget: 8 }, minimumScore: -6 },
  "60 nodes": { tree: { depth: 6, width: 10, budget: 60 } },
} as const;

/** Passes of each step of a method. */
export const passesOf = ({ preset, passes }: Method): readonly number[] =>
  passes ?? PRESETS[preset].steps;

/** A method's folder name. */
export const folderOf = (name: string): string => name.replace(/[^a-z0-9]+/g, "-");
