/**
 * Samples: texts of an evaluation, token by token, each marked with who it came from: read off the prompt's prefill,
 * drafted and accepted, or the target's own. Rows that are stored with the run; shown with the accepted tokens in
 * colour on a page, in brackets where there is no colour. Trees of every round: `trace_page.ts`.
 */
import type { Generation } from "../eval/metrics.ts";
import { escapeHtml } from "./html.ts";

/** Who a token came from. */
export type Source = "first" | "accepted" | "target";

/** One token: its text, its round (0: the first token, from prefill), who it came from. */
export interface Piece {
  text: string;
  round: number;
  source: Source;
}

/** One prompt's text. */
export interface Sample {
  suite: string;
  id: string;
  prompt: string;
  /** Nodes drafted in each round. */
  drafted: number[];
  pieces: Piece[];
}

/**
 * The pieces of a generation. `decode` gives the text of ids; a character of several tokens stands with its last one.
 * In a round the accepted tokens come first, then one of the target's own, unless the text was cut before it.
 */
export function piecesOf(
  { tokens, rounds }: Generation,
  decode: (ids: readonly number[]) => string,
): Piece[] {
  const sources: Omit<Piece, "text">[] = [{ round: 0, source: "first" }];
  for (const [i, { emitted, accepted }] of rounds.entries()) {
    for (let n = 0; n < emitted; n++) {
      sources.push({ round: i + 1, source: n < accepted ? "accepted" : "target" });
    }
  }
  let shown = "";
  return tokens.map((_, i) => {
    const text = decode(tokens.slice(0, i + 1)), last = i === tokens.length - 1;
    // A character whose bytes are not all there yet reads as U+FFFD.
    const whole = last ? text : text.replace(/\uFFFD+$/, "");
    const fresh = whole.slice(shown.length);
    shown = whole.length > shown.length ? whole : shown;
    return { text: fresh, ...sources[i] };
  });
}

/** A sample of a prompt. */
export function sampleOf(
  generation: Generation,
  { decode, ...of }: Pick<Sample, "suite" | "id" | "prompt"> & {
    decode: (ids: readonly number[]) => string;
  },
): Sample {
  const drafted = generation.rounds.map((r) => r.drafted);
  return { ...of, drafted, pieces: piecesOf(generation, decode) };
}

/** Neighbours of the same round and source as one. */
function runsOf(pieces: readonly Piece[]): Piece[] {
  const runs: Piece[] = [];
  for (const piece of pieces) {
    const last = runs.at(-1);
    if (last?.round === piece.round && last.source === piece.source) last.text += piece.text;
    else runs.push({ ...piece });
  }
  return runs;
}

/** Accepted tokens and all tokens of a sample. */
export function acceptedOf({ pieces }: Sample): { accepted: number; tokens: number } {
  const accepted = pieces.filter((p) => p.source === "accepted").length;
  return { accepted, tokens: pieces.length };
}

const shareOf = (sample: Sample) => {
  const { accepted, tokens } = acceptedOf(sample), rounds = sample.drafted.length;
  return `${accepted} of ${tokens} tokens were drafted and accepted, in ${rounds} target forwards`;
};

/** How samples look on a page. */
export const SAMPLE_STYLE = `
.sample { border-left: 3px solid var(--line); margin: 1rem 0; padding-left: 1rem; }
.sample pre { white-space: pre-wrap; overflow-wrap: anywhere; font: .9rem/1.7 ui-monospace, monospace; margin: .4rem 0; }
.sample .asked { color: var(--soft); } .sample i { font-style: normal; border-bottom: 1px dotted var(--soft); }
mark { background: var(--mark); color: inherit; border-bottom: 2px solid #0072B2; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
mark + mark { margin-left: 2px; }
`;

/** Samples as HTML: accepted tokens on blue, each run with its round as a title. */
export function renderSamples(samples: readonly Sample[]): string {
  return samples.map((sample) => {
    const text = runsOf(sample.pieces).map(({ text, round, source }) => {
      const shown = escapeHtml(text);
      if (source === "target") return shown;
      if (source === "first") return `<i title="first token, from the prompt">${shown}</i>`;
      return `<mark title="round ${round}: ${sample.drafted[round - 1]} drafted">${shown}</mark>`;
    }).join("");
    const of = `${escapeHtml(sample.suite)}, ${escapeHtml(sample.id)}: ${shareOf(sample)}`;
    return `<div class="sample"><div class="soft">${of}</div><pre class="asked">${
      escapeHtml(sample.prompt)
    }</pre><pre>${text}</pre></div>`;
  }).join("\n");
}

/** A fence longer than any in the text. */
export function fenced(text: string, language = ""): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

/** Samples as Markdown: accepted tokens in ⟦ ⟧. */
export function samplesMarkdown(samples: readonly Sample[]): string {
  return samples.map((sample) => {
    const text = runsOf(sample.pieces).map(({ text, source }) =>
      source === "accepted" ? `⟦${text}⟧` : text
    ).join("");
    return [
      `**${sample.suite}, ${sample.id}**: ${shareOf(sample)}`,
      fenced(sample.prompt),
      fenced(text),
    ].join("\n\n");
  }).join("\n\n");
}
