/**
 * An answer as it grows, one or two sides of it: pieces of text with where each came from, the rows of its trace, and
 * the numbers that follow from them. Pure: it touches no page and is tested without one. Drawn by `messages.js`,
 * `numbers.js` and `rounds.js`.
 *
 * A piece is [text, kind, depth, draft, target, round]: kind "a" accepted, "x" the target's own token after a tree,
 * "p" plain or first; probabilities by the draft and the target of a token given those before it, null if not known.
 */

/**
 * A side with nothing in it yet.
 * @returns {{
 *   pieces: [text: string, kind: string, depth: number, draft: number?, target: number?, round: number][],
 *   rows: object[], texts: Record<number, string>, ms: number, reason: string?, sums: ReturnType<typeof newSums>,
 * }}
 */
export const newSide = () => ({
  pieces: [],
  rows: [],
  texts: {},
  ms: 0,
  reason: null,
  sums: newSums(),
});

export const newSums = () => ({
  tokens: 0,
  rounds: 0,
  emitted: 0,
  drafted: 0,
  accepted: 0,
  prefillMs: 0,
  draftMs: 0,
  verifyMs: 0,
  hostMs: 0,
  /**
   * By depth from 1: rounds that reached it, and those of them that went on.
   * @type {{ reached: number, accepted: number }[]}
   */
  depths: [],
});

const round4 = (x) => x === null || !Number.isFinite(x) ? null : Number(x.toPrecision(4));

function roundPieces({ accepted, trace, drafted, round }, texts) {
  return texts.map((text, i) => {
    if (i >= accepted || trace === undefined) {
      return [text, drafted > 0 ? "x" : "p", i + 1, null, round4(trace?.extra ?? null), round];
    }
    const node = trace.path[i], parent = trace.parents[node];
    // A score of minus infinity is null in JSON.
    const draft = Math.exp((trace.scores[node] ?? -Infinity) - (trace.scores[parent] ?? 0));
    return [text, "a", i + 1, round4(draft), round4(trace.probabilities[node]), round];
  });
}

function addRound(sums, row) {
  sums.rounds++;
  sums.emitted += row.tokens.length;
  sums.drafted += row.drafted;
  sums.accepted += row.accepted;
  sums.draftMs += row.draftMs;
  sums.verifyMs += row.verifyMs;
  sums.hostMs += row.sampleMs + row.hostMs;
  for (let i = 0; i < row.depth; i++) {
    sums.depths[i] ??= { reached: 0, accepted: 0 };
    if (row.accepted >= i) sums.depths[i].reached++;
    if (row.accepted > i) sums.depths[i].accepted++;
  }
}

/** Takes an event of type `reply` into its side. */
export function takeEvent(side, { row, pieces, texts, ms }) {
  side.rows.push(row);
  side.ms = ms;
  Object.assign(side.texts, texts);
  if (row.type === "end") {
    side.reason = row.reason;
    // Bytes that never became a character belong to the last piece.
    if (pieces.length > 0 && side.pieces.length > 0) side.pieces.at(-1)[0] += pieces.join("");
    return;
  }
  side.sums.tokens += row.tokens.length;
  if (row.type === "start") {
    side.sums.prefillMs += row.prefillMs;
    side.pieces.push(...pieces.map((text) => [text, "p", 0, null, null, 0]));
  } else {
    addRound(side.sums, row);
    side.pieces.push(...roundPieces(row, pieces));
  }
}

/** The text of a side. */
export const textOf = (side) => side.pieces.map(([text]) => text).join("");

/** Tokens of rounds a round; NaN without one. */
export const tau = ({ emitted, rounds }) => emitted / rounds;

/** Tokens a second after the first one, which the prompt's forward gave; NaN before there is another. */
export function tokensPerSecond({ tokens, draftMs, verifyMs, hostMs }) {
  return 1000 * (tokens - 1) / (draftMs + verifyMs + hostMs);
}

/** The sides of a message in order: plain on the left. */
export function sidesOf(message) {
  return ["plain", "speculative"].filter((name) => message.sides?.[name] !== undefined)
    .map((name) => [name, message.sides[name]]);
}

/** What stands in the conversation for this answer: the speculative side's text where there are two. */
export function contentOf(message) {
  const sides = sidesOf(message);
  return sides.length === 0 ? message.content ?? "" : textOf(sides.at(-1)[1]);
}

/** Rounds of a side that can be drawn. */
export const treesOf = (side) =>
  side.rows.filter((row) => row.type === "round" && row.trace !== undefined);

/** The rows of these answers' sides as a trace's file, each side a generation of its own. */
export function traceText(messages) {
  let generation = 0, text = "";
  for (const message of messages) {
    for (const [, side] of sidesOf(message)) {
      if (side.rows.length === 0) continue;
      for (const row of side.rows) text += `${JSON.stringify({ ...row, generation })}\n`;
      generation++;
    }
  }
  return text;
}

/** A conversation as Markdown. */
export function markdown({ title, messages }) {
  const names = { user: "You", assistant: "Model", system: "System" };
  const parts = messages.map((message) => {
    const sides = sidesOf(message);
    if (sides.length < 2) return `**${names[message.role]}**\n\n${contentOf(message)}`;
    return sides.map(([name, side]) =>
      `**${names.assistant}, ${name}** (${(side.ms / 1000).toFixed(2)} s)\n\n${textOf(side)}`
    ).join("\n\n");
  });
  return `# ${title}\n\n${parts.join("\n\n")}\n`;
}
