/**
 * Table 1 of GRIFFIN's paper (NeurIPS 2025, arXiv 2502.11018): speedup and acceptance length of each model, method,
 * temperature and question set; batch 1, one A100 of 80 GB, 60 draft tokens, depth 6. Beside it the names that targets
 * and drafts have on the hub, as their authors' pages give them. Compared with runs by `ledger.ts`.
 */

/** Speedup and tau on one question set. */
export type PaperCell = readonly [speedup: number, tau: number];

/** On MT-bench, HumanEval and GSM8K; null where the paper has no number. */
export type PaperCells = readonly [PaperCell, PaperCell, PaperCell] | null;

export interface PaperModel {
  model: string;
  /** The target's name on the hub. */
  target: string;
  /** Its chat template as `--chat-template` names it, where it is published without one. */
  template?: string;
  /** Names of published drafts by method; of a method that is not here none is known. */
  drafts: Readonly<Record<string, string>>;
  /** At temperature 0 and 1, by method. */
  rows: Readonly<Record<string, readonly [PaperCells, PaperCells]>>;
}

/** Of Vicuna 1.5 the published EAGLE draft is left out: it was made for Vicuna 1.3. */
export const TABLE_1: readonly PaperModel[] = [
  {
    model: "LLaMA2-7B",
    target: "meta-llama/Llama-2-7b-chat-hf",
    drafts: {
      GRIFFIN: "husj576/GRIFFIN-llama2-chat-7B",
      HASS: "HArmonizedSS/HASS-LLaMA2-Chat-7B",
      "EAGLE-2": "yuhuili/EAGLE-llama2-chat-7B",
    },
    rows: {
      "PLD": [[[1.41, 1.46], [1.51, 1.57], [1.34, 1.39]], null],
      "Lookahead": [[[1.64, 1.71], [1.75, 1.81], [1.57, 1.63]], null],
      "EAGLE-2": [[[2.69, 4.5], [3.22, 5.24], [2.77, 4.72]], [[2.41, 4.29], [3, 5.01], [
        2.63,
        4.66,
      ]]],
      "FSPAD": [[[2.89, 4.82], [3.38, 5.62], [2.95, 4.99]], [[2.61, 4.53], [3.14, 5.35], [
        2.84,
        4.88,
      ]]],
      "HASS": [[[2.97, 4.97], [3.46, 5.69], [3.06, 5.12]], [[2.72, 4.64], [3.18, 5.22], [
        2.83,
        5.08,
      ]]],
      "GRIFFIN": [[[3.12, 5.11], [3.61, 5.93], [3.1, 5.27]], [[2.81, 4.81], [3.33, 5.63], [
        3.06,
        5.26,
      ]]],
    },
  },
  {
    model: "LLaMA3-8B",
    target: "meta-llama/Meta-Llama-3-8B-Instruct",
    drafts: {
      GRIFFIN: "husj576/GRIFFIN-llama3-instruct-8B",
      HASS: "HArmonizedSS/HASS-LLaMA3-Instruct-8B",
      "EAGLE-2": "yuhuili/EAGLE-LLaMA3-Instruct-8B",
      EAGLE: "yuhuili/EAGLE-LLaMA3-Instruct-8B",
    },
    rows: {
      "EAGLE": [[[1.32, 2.96], [2.07, 3.76], [1.88, 3.61]], [[1.28, 2.71], [1.42, 3.36], [
        1.66,
        3.31,
      ]]],
      "EAGLE-2": [[[2.56, 4.18], [3.36, 5.05], [2.53, 4.41]], [[2.26, 3.75], [2.63, 4.77], [
        2.46,
        4.3,
      ]]],
      "EAGLE-3 (ShareGPT only)": [[[2.93, 4.71], [3.59, 5.72], [3.17, 5.01]], [[2.51, 4.18], [
        3.27,
        5.47,
      ], [2.9, 4.85]]],
      "FSPAD": [[[2.72, 4.52], [3.4, 5.39], [2.95, 4.77]], [[2.43, 4.09], [3.04, 5.18], [
        2.75,
        4.6,
      ]]],
      "HASS": [[[2.75, 4.63], [3.51, 5.7], [3.09, 5.06]], [[2.41, 4.15], [3.09, 5.41], [
        2.92,
        4.9,
      ]]],
      "GRIFFIN": [[[3.09, 4.85], [3.65, 5.97], [3.3, 5.31]], [[2.62, 4.35], [3.31, 5.62], [
        3.07,
        5.08,
      ]]],
    },
  },
  {
    model: "Vicuna1.5-7B",
    target: "lmsys/vicuna-7b-v1.5",
    template: "vicuna",
    drafts: {
      GRIFFIN: "husj576/GRIFFIN-Vicuna-7B-v1.5",
    },
    rows: {
      "SPS": [[[1.81, 2.34], [2.04, 2.68], [1.73, 2.28]], [[1.49, 1.85], [1.57, 1.99], [
        1.52,
        1.8,
      ]]],
      "Medusa": [[[1.97, 2.6], [2.07, 2.75], [1.93, 2.65]], null],
      "EAGLE-2": [[[3.56, 4.74], [3.92, 5.3], [3.69, 5.03]], [[3.15, 4.2], [3.3, 4.62], [
        3.41,
        4.65,
      ]]],
      "FSPAD": [[[3.73, 5.16], [4.12, 5.74], [3.85, 5.37]], [[3.27, 4.53], [3.45, 5.11], [
        3.56,
        4.98,
      ]]],
      "HASS": [[[3.91, 5.15], [4.22, 5.86], [3.97, 5.41]], [[3.34, 4.52], [3.62, 5.16], [
        3.7,
        5.03,
      ]]],
      "GRIFFIN": [[[4.02, 5.36], [4.53, 6.29], [4.14, 5.63]], [[3.38, 4.64], [4.12, 5.68], [
        3.88,
        5.29,
      ]]],
    },
  },
  {
    model: "Qwen2-7B",
    target: "Qwen/Qwen2-7B-Instruct",
    drafts: {
      GRIFFIN: "husj576/GRIFFIN-qwen2-instruct-7B",
      "EAGLE-2": "yuhuili/EAGLE-Qwen2-7B-Instruct",
    },
    rows: {
      "EAGLE-2": [[[2.32, 3.8], [2.9, 4.73], [2.7, 4.32]], [[2, 3.01], [2.71, 4.18], [2.6, 3.98]]],
      "HASS": [[[2.59, 4.23], [3.18, 5.46], [2.91, 4.86]], [[2.17, 3.23], [2.83, 4.52], [
        2.79,
        4.38,
      ]]],
      "GRIFFIN": [[[2.76, 4.67], [3.34, 5.75], [3.02, 5.13]], [[2.27, 3.36], [3.04, 4.82], [
        2.96,
        4.71,
      ]]],
    },
  },
  {
    model: "LLaMA2-13B",
    target: "meta-llama/Llama-2-13b-chat-hf",
    drafts: {
      GRIFFIN: "husj576/GRIFFIN-llama2-chat-13B",
      HASS: "HArmonizedSS/HASS-LLaMA2-Chat-13B",
      "EAGLE-2": "yuhuili/EAGLE-llama2-chat-13B",
    },
    rows: {
      "EAGLE-2": [[[2.97, 4.68], [3.61, 5.59], [3.05, 4.97]], [[2.77, 4.45], [3.41, 5.45], [
        2.97,
        4.83,
      ]]],
      "FSPAD": [[[3.09, 5.05], [3.91, 5.98], [3.32, 5.35]], [[3.03, 4.85], [3.51, 5.71], [
        3.21,
        5.25,
      ]]],
      "HASS": [[[3.11, 5.05], [4.16, 6.05], [3.38, 5.33]], [[3.05, 4.9], [3.66, 5.85], [
        3.22,
        5.3,
      ]]],
      "GRIFFIN": [[[3.33, 5.27], [4.29, 6.26], [3.61, 5.56]], [[3.36, 5.07], [3.94, 6.13], [
        3.61,
        5.49,
      ]]],
    },
  },
  {
    model: "LLaMA3-70B",
    target: "meta-llama/Meta-Llama-3-70B-Instruct",
    drafts: {
      GRIFFIN: "husj576/GRIFFIN-llama3-instruct-70B",
      HASS: "HArmonizedSS/HASS-LLaMA3-Instruct-70B",
      "EAGLE-2": "yuhuili/EAGLE-LLaMA3-Instruct-70B",
    },
    rows: {
      "EAGLE-2": [[[2.96, 4.13], [4.03, 5.08], [3.21, 4.42]], [[3.04, 4.05], [3.65, 5.01], [
        3.2,
        4.32,
      ]]],
      "HASS": [[[3.36, 4.59], [4.61, 5.73], [4.01, 5.21]], [[3.35, 4.48], [4.23, 5.65], [
        3.84,
        5.17,
      ]]],
      "GRIFFIN": [[[3.52, 4.66], [4.71, 6.03], [4.09, 5.39]], [[3.49, 4.54], [4.33, 5.94], [
        3.9,
        5.3,
      ]]],
    },
  },
  {
    model: "Mixtral-8x7B",
    target: "mistralai/Mixtral-8x7B-Instruct-v0.1",
    drafts: {
      "EAGLE-2": "yuhuili/EAGLE-mixtral-instruct-8x7B",
    },
    rows: {
      "EAGLE-2": [[[1.96, 3.39], [2.34, 4.13], [2.19, 3.79]], [[1.93, 3.32], [2.28, 3.98], [
        2.09,
        3.71,
      ]]],
      "HASS": [[[2.17, 3.67], [2.63, 4.76], [2.39, 4.58]], [[2.09, 3.61], [2.53, 4.58], [
        2.24,
        4.46,
      ]]],
      "GRIFFIN": [[[2.29, 3.97], [2.82, 5.25], [2.51, 4.86]], [[2.22, 3.89], [2.71, 5.08], [
        2.39,
        4.72,
      ]]],
    },
  },
];
