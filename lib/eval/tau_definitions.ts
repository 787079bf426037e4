/**
 * The acceptance length as other projects count it, from the same recordings as ours: they differ in what
 * happens at the end of a generation and in the token of prefill. Ours and the published script's are in
 * `metrics.ts`. Compare numbers of two projects only under one definition.
 */
import { type Generation, type Ratio, ratio } from "./metrics.ts";

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/**
 * vLLM's "mean acceptance length": 1 + accepted draft tokens / drafts. A draft is a round in which anything
 * was drafted; accepted tokens count as verification left them, before the text is cut at its end, and every
 * draft counts one extra token whether it was emitted or not. The first token, of prefill, is not counted.
 * Source: vLLM, `vllm/v1/spec_decode/metrics.py` (`SpecDecodingLogging.log`); what is accepted is counted in
 * `vllm/v1/core/sched/scheduler.py`, before the check for stops. SGLang's `avg_spec_accept_length` of a
 * server has the same form.
 */
export function tauVllm(generations: readonly Generation[]): Ratio {
  const drafts = generations.flatMap((g) => g.rounds).filter((r) => r.drafted > 0);
  return ratio(sum(drafts.map((r) => r.accepted + 1)), drafts.length);
}

/**
 * SpecForge's "accept length": completion tokens / verifications, pooled over prompts. Completion tokens are
 * all of the text, cut at its end, the first token of prefill included; so it exceeds ours by generations /
 * rounds. SGLang's `spec_accept_length` is the same of one request. Without a verification SpecForge
 * says 1; here it is NaN, as elsewhere.
 * Source: SpecForge, `benchmarks/benchmarker/utils.py` (`compute_metrics`: `completion_tokens` over
 * `spec_verify_ct`, both summed).
 */
export function tauSpecForge(generations: readonly Generation[]): Ratio {
  return ratio(
    sum(generations.map((g) => g.tokens.length)),
    sum(generations.map((g) => g.rounds.length)),
  );
}
