/**
 * Sizes of targets that drafts are published for: what a draft's width, vocabulary and heads point to. Facts from the
 * models' own `config.json`; several models share a row. Not what can be loaded: that is `families.ts`.
 */
import type { DecoderConfig } from "./config.ts";

/** Names by [width, heads, vocabulary]; key heads and inner widths are a draft's own. */
const KNOWN:
  readonly (readonly [names: string, width: number, heads: number, vocabulary: number])[] = [
    ["LLaMA-2 7B or Vicuna 7B", 4096, 32, 32000],
    ["LLaMA-2 13B or Vicuna 13B", 5120, 40, 32000],
    ["LLaMA-2 70B", 8192, 64, 32000],
    ["Vicuna 33B", 6656, 52, 32000],
    ["TinyLlama 1.1B", 2048, 32, 32000],
    ["Mixtral 8x7B or Mistral 7B v0.1", 4096, 32, 32000],
    ["Mistral 7B v0.3", 4096, 32, 32768],
    ["LLaMA-3 or 3.1 8B", 4096, 32, 128256],
    ["LLaMA-3, 3.1 or 3.3 70B", 8192, 64, 128256],
    ["LLaMA-3.2 1B", 2048, 32, 128256],
    ["LLaMA-3.2 3B", 3072, 24, 128256],
    ["Qwen2 or 2.5 7B", 3584, 28, 152064],
    ["Qwen2.5 14B or 32B", 5120, 40, 152064],
    ["Qwen2 or 2.5 72B", 8192, 64, 152064],
    ["Qwen2 or 2.5 0.5B", 896, 14, 151936],
    ["Qwen2 or 2.5 1.5B", 1536, 12, 151936],
    ["Qwen2.5 3B", 2048, 16, 151936],
    ["Qwen3 0.6B", 1024, 16, 151936],
    ["Qwen3 1.7B", 2048, 16, 151936],
    ["Qwen3 4B", 2560, 32, 151936],
    ["Qwen3 8B", 4096, 32, 151936],
    ["Qwen3 14B", 5120, 40, 151936],
    ["Qwen3 32B", 5120, 64, 151936],
    ["Qwen3 30B-A3B", 2048, 32, 151936],
    ["Qwen3 235B-A22B", 4096, 64, 151936],
    ["SmolLM2 135M", 576, 9, 49152],
    ["SmolLM2 1.7B", 2048, 32, 49152],
  ];

/** Well-known targets of these sizes; those that differ in heads alone if none has them all, as drafts may. */
export function targetsOfSize(
  { width, heads, vocabulary }: Pick<DecoderConfig, "width" | "heads" | "vocabulary">,
): string[] {
  const near = KNOWN.filter(([, w, , v]) => w === width && v === vocabulary);
  const exact = near.filter(([, , h]) => h === heads);
  return (exact.length > 0 ? exact : near).map(([names]) => names);
}
