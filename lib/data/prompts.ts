/**
 * The prompts that ship are made, not stored: a seeded generator of word problems and function heads. Which
 * part a prompt belongs to (training, validation, evaluation) is decided by a hash of its text, so parts
 * never overlap and prompt n of a part does not depend on how many are asked for.
 */
import { hashText, random } from "../random.ts";
import type { Message } from "../text/chat.ts";
import { functionHead } from "./function_heads.ts";
import { wordProblem } from "./word_problems.ts";

export const PARTS = ["train", "validation", "evaluation"] as const;
export type Part = (typeof PARTS)[number];
export const KINDS = ["word-problem", "function"] as const;
export type Kind = (typeof KINDS)[number];

/** One prompt. */
export interface Prompt {
  id: string;
  kind: Kind;
  messages: Message[];
  /** Computed answer of a word problem. */
  reference?: string;
}

/** Of 20 texts, 1 goes to validation and 2 to evaluation. */
function partOf(text: string): Part {
  const slot = hashText(text) % 20;
  return slot === 0 ? "validation" : slot <= 2 ? "evaluation" : "train";
}

function draw(kind: Kind, { seed, index }: { seed: number; index: number }) {
  const from = random(seed, "prompts", kind, index);
  if (kind === "word-problem") {
    const { text, answer } = wordProblem(from);
    return { text, reference: String(answer) };
  }
  return { text: `Complete the code I provided.\n\n${functionHead(from)}`, reference: undefined };
}

/** The prompts of a part in order, without end, kinds alternating; no text twice. */
export function* prompts(
  part: Part,
  { seed = 0, kinds = KINDS }: { seed?: number; kinds?: readonly Kind[] } = {},
): Generator<Prompt> {
  const seen = new Set<string>(), next = new Map(kinds.map((k) => [k, 0]));
  for (let n = 0;; n++) {
    const kind = kinds[n % kinds.length];
    for (let tries = 0;; tries++) {
      if (tries > 10_000) {
        throw new Error(`Cannot make more than ${n} different prompts for ${part}`);
      }
      const index = next.get(kind)!;
      next.set(kind, index + 1);
      const { text, reference } = draw(kind, { seed, index });
      if (partOf(text) !== part || seen.has(text)) continue;
      seen.add(text);
      const messages: Message[] = [{ role: "user", content: text }];
      yield { id: `${part}-${kind}-${index}`, kind, messages, reference };
      break;
    }
  }
}

/** The first `count` prompts of a part. */
export function takePrompts(
  part: Part,
  { count, ...options }: { count: number; seed?: number; kinds?: readonly Kind[] },
): Prompt[] {
  return prompts(part, options).take(count).toArray();
}
