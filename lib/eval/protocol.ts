/**
 * How the authors of GRIFFIN and EAGLE measure, read from their scripts: what `deno task eval --protocol paper` sets
 * where nothing else is asked for. Batch 1, temperatures 0 and 1, MT-bench, HumanEval and GSM8K (griffin.md section 8).
 */

/** The published question sets of Table 1, in its order. */
export const PAPER_SUITES = ["mt_bench", "humaneval", "gsm8k"] as const;

/** Options of `deno task eval`, by name. */
export const PAPER_OPTIONS = {
  suite: PAPER_SUITES.join(","),
  /** Each question file has 80 questions. */
  count: 80,
  /** The scripts declare 1024 and do not pass it on: the decoding function's own limit is what counts. */
  tokens: 512,
  /** Positions of prompt and reply together. */
  context: 2048,
  /** Nodes, depth, width; 60, 5 and 10 in the scripts' flags. */
  tree: "60/6/10",
  /** None: no path of six tokens is as unlikely. */
  "minimum-score": -1000,
  "draft-bits": "32",
  system: "family",
} as const;

/** LLaMA-2's and LLaMA-3's, blanks as the scripts have them. */
const LLAMA = "You are a helpful, respectful and honest assistant. Always answer as helpfully as " +
  "possible, while being safe.  Your answers should not include any harmful, unethical, racist, " +
  "sexist, toxic, dangerous, or illegal content. Please ensure that your responses are socially " +
  "unbiased and positive in nature.\n\nIf a question does not make any sense, or is not factually " +
  "coherent, explain why instead of answering something not correct. If you don't know the answer " +
  "to a question, please don't share false information.";

/** What conversations open with; each family is known by what its chat template writes. */
const FAMILIES: { family: string; isOf: (template: string) => boolean; system?: string }[] = [
  { family: "LLaMA-3", isOf: (t) => t.includes("<|start_header_id|>"), system: LLAMA },
  {
    family: "Qwen",
    isOf: (t) => t.includes("<|im_start|>"),
    system: "You are a helpful assistant.",
  },
  { family: "LLaMA-2", isOf: (t) => t.includes("<<SYS>>"), system: LLAMA },
  // Mixtral's conversations have none.
  { family: "Mistral", isOf: (t) => t.includes("[INST]") },
  {
    family: "Vicuna",
    isOf: (t) => t.includes("ASSISTANT:"),
    system:
      "A chat between a curious user and an artificial intelligence assistant. The assistant " +
      "gives helpful, detailed, and polite answers to the user's questions.",
  },
];

/** Whose chat template this is, and the system prompt of its authors' evaluation; nothing of one that is not known. */
export function familyPrompt(
  template: string | undefined,
): { family: string; system?: string } | undefined {
  const found = template === undefined ? undefined : FAMILIES.find(({ isOf }) => isOf(template));
  return found && { family: found.family, ...(found.system && { system: found.system }) };
}
