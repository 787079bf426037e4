/**
 * Made-up generations with trees: greedy verification over random trees, cut at an end token or the length
 * limit as in decoding. For tests of traces and what is drawn of them. Holds no test.
 */
import { random } from "../../lib/random.ts";
import type { EndReason, GenerationEvent, RoundTrace } from "../../lib/report/events.ts";
import { parseTrace, type Trace, traceRow, type TraceSubject } from "../../lib/report/trace.ts";

export const END = 0;

/** A tree of five levels at most: two children a node at most, the first one more likely the target's. */
function tree(
  root: number,
  { nodes, vocabulary, uniform }: { nodes: number; vocabulary: number; uniform: () => number },
): RoundTrace {
  const token = () => 1 + Math.floor(uniform() * (vocabulary - 1));
  const trace: RoundTrace = {
    tokens: [root],
    parents: [-1],
    scores: [0],
    choices: [token()],
    probabilities: [1],
    path: [],
  };
  const depths = [0], children = [0];
  for (let i = 1; i < nodes; i++) {
    let parent = Math.floor(uniform() * i);
    while (children[parent] === 2 || depths[parent] === 5) parent = (parent + 1) % i;
    const likely = children[parent]++ === 0 ? 0.3 + 0.65 * uniform() : 0.05 + 0.2 * uniform();
    const isChoice = uniform() < likely && !trace.parents.includes(parent);
    trace.tokens.push(isChoice ? trace.choices[parent] : token());
    trace.parents.push(parent);
    trace.scores.push(trace.scores[parent] + Math.log(likely));
    trace.choices.push(uniform() < 0.04 ? END : token());
    trace.probabilities.push(isChoice ? 0.5 + 0.5 * uniform() : 0.2 * uniform());
    depths.push(depths[parent] + 1);
    children.push(0);
  }
  const { tokens, parents, choices, path } = trace;
  for (let node = 0, next; node >= 0; node = next) {
    next = parents.findIndex((p, i) => p === node && tokens[i] === choices[node]);
    if (next >= 0) path.push(next);
  }
  return trace;
}

/** Events of a generation; it ends at an end token or after `maxTokens`. */
export async function* madeUpGeneration(
  { seed, maxTokens = 24, nodes = 8, vocabulary = 300 }: {
    seed: number;
    maxTokens?: number;
    nodes?: number;
    vocabulary?: number;
  },
): AsyncGenerator<GenerationEvent> {
  const { uniform } = random(seed, "made up");
  let last = 1, left = maxTokens - 1, reason: EndReason | undefined;
  yield { type: "prefill", tokens: [last], ms: 9 + uniform() };
  while (reason === undefined) {
    await Promise.resolve(); // lets others that run at once take their turn
    const trace = tree(last, { nodes, vocabulary, uniform });
    const { tokens: nodesTokens, choices, parents, path } = trace;
    const emitted = [...path.map((n) => nodesTokens[n]), choices[path.at(-1) ?? 0]];
    const end = emitted.indexOf(END), whole = end < 0 ? emitted : emitted.slice(0, end + 1);
    const tokens = whole.slice(0, left);
    left -= tokens.length;
    if (end >= 0 && tokens.length === whole.length) reason = "end token";
    else if (left === 0) reason = "length limit";
    last = emitted.at(-1)!;
    const depths = parents.map(() => 0);
    parents.forEach((p, i) => depths[i] = p < 0 ? 0 : depths[p] + 1);
    yield {
      type: "round",
      tokens,
      drafted: nodesTokens.length - 1,
      depth: Math.max(...depths),
      accepted: path.length,
      draftMs: 1 + uniform(),
      verifyMs: 5 + 3 * uniform(),
      sampleMs: 0.1 * uniform(),
      hostMs: 0.1 * uniform(),
      trace,
    };
  }
  yield { type: "end", reason };
}

/** The subject of a made-up generation. */
export function subject(id: string, changes: Partial<TraceSubject> = {}): TraceSubject {
  const settings = { target: "data/target", depth: 5, width: 2, budget: 8 };
  return { id, category: "made up", prompt: [7, 8, 9], settings, ...changes };
}

/** A trace of a made-up generation a seed, as it is read from a file. */
export async function madeUpTrace(seeds: readonly number[]): Promise<Trace> {
  const rows = await Promise.all(seeds.map(async (seed, generation) => {
    let round = 0, text = "";
    for await (const event of madeUpGeneration({ seed })) {
      if (event.type === "round") round++;
      const row = traceRow(event, { generation, round, subject: subject(`p${seed}`) });
      text += `${JSON.stringify(row)}\n`;
    }
    return text;
  }));
  return parseTrace(rows.join(""));
}
