/** Traces: back to the generation that left them, and every fault of a file named with its line. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { acceptanceByDepth, tau, tauUpstream, tokensPerSecond } from "../../lib/eval/metrics.ts";
import { record } from "../../lib/eval/run.ts";
import type { RoundEvent } from "../../lib/report/events.ts";
import {
  parseTrace,
  readTrace,
  toGeneration,
  type TraceRow,
  traceRow,
} from "../../lib/report/trace.ts";
import { madeUpGeneration, subject } from "./traces.ts";

async function rowsOf(seed: number, generation = 0): Promise<TraceRow[]> {
  const rows: TraceRow[] = [];
  let round = 0;
  for await (const event of madeUpGeneration({ seed })) {
    if (event.type === "round") round++;
    rows.push(traceRow(event, { generation, round, subject: subject(`p${seed}`) }));
  }
  return rows;
}

const textOf = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

Deno.test("metrics of a trace are those of the run, where it is cut at its end too", async () => {
  const seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    recorded = [],
    rows: TraceRow[] = [],
    reasons = new Set();
  let cut = 0;
  for (const [i, seed] of seeds.entries()) {
    recorded.push(await record(madeUpGeneration({ seed })));
    const own = await rowsOf(seed, i), last = own.at(-2), end = own.at(-1);
    rows.push(...own);
    if (last?.type === "round" && last.tokens.length < last.accepted + 1) cut++;
    if (end?.type === "end") reasons.add(end.reason);
  }
  // The sample holds what is to be tested.
  assert.deepEqual(reasons, new Set(["end token", "length limit"]));
  assert.ok(cut > 0);
  const traced = parseTrace(textOf(rows)).generations.map(toGeneration);
  for (const metric of [tau, tauUpstream, acceptanceByDepth, tokensPerSecond]) {
    assert.deepEqual(metric(traced), metric(recorded), metric.name);
  }
  assert.deepEqual(traced.map((g) => g.tokens), recorded.map((g) => g.tokens));
});

Deno.test("a row keeps what its event said, numbers of trees to six digits", async () => {
  const trace = {
    tokens: [5, 6],
    parents: [-1, 0],
    scores: [0, -0.123456789],
    choices: [6, 7],
    probabilities: [1, 0.000123456789],
    path: [1],
  };
  const event: RoundEvent = {
    type: "round",
    tokens: [6, 7],
    drafted: 1,
    depth: 1,
    accepted: 1,
    draftMs: 0.123456789,
    verifyMs: 2,
    sampleMs: 0.5,
    hostMs: 3,
    trace,
  };
  assert.deepEqual(traceRow(event, { generation: 4, round: 2, subject: subject("p") }), {
    ...event,
    generation: 4,
    round: 2,
    trace: { ...trace, scores: [0, -0.123457], probabilities: [1, 0.000123457] },
  });
  const [start] = await rowsOf(1);
  assert.deepEqual(start, {
    type: "start",
    generation: 0,
    ...subject("p1"),
    tokens: [1],
    prefillMs: (start as { prefillMs: number }).prefillMs,
  });
});

Deno.test("scores of minus infinity survive the file", async () => {
  const rows = await rowsOf(1), round = rows[1];
  assert.ok(round.type === "round" && round.trace !== undefined);
  round.trace.scores[1] = -Infinity;
  assert.equal(parseTrace(textOf(rows)).generations[0].rounds[0].trace!.scores[1], -Infinity);
});

Deno.test("rows of generations that ran at once are told apart", async () => {
  const [a, b] = [await rowsOf(1, 0), await rowsOf(2, 1)];
  const mixed = [
    a[0],
    b[0],
    ...a.slice(1).flatMap((row, i) => [row, b[i + 1]]),
    ...b.slice(a.length),
  ]
    .filter((row) => row !== undefined);
  const { generations } = parseTrace(textOf(mixed));
  assert.deepEqual(generations.map((g) => g.rounds.length), [a.length - 2, b.length - 2]);
  assert.deepEqual(generations.map((g) => g.start.id), ["p1", "p2"]);
});

Deno.test("a last line that was cut off is left out and named, wherever it was cut", async () => {
  const rows = await rowsOf(1), text = textOf(rows), whole = textOf(rows.slice(0, 3));
  for (const length of [1, 20, textOf([rows[3]]).length - 2]) {
    const { generations, cutLine } = parseTrace(text.slice(0, whole.length + length));
    assert.equal(cutLine, 4);
    assert.equal(generations[0].rounds.length, 2);
    assert.equal(generations[0].end, undefined);
  }
  assert.equal(parseTrace(whole).cutLine, undefined);
  // Only its line break is missing: the row is whole.
  assert.equal(parseTrace(text.trimEnd()).generations[0].end?.type, "end");
  assert.deepEqual(parseTrace(""), { generations: [] });
});

Deno.test("every fault is told with line, found and wanted", async () => {
  const rows = await rowsOf(1);
  const [start, first] = rows as unknown as Record<string, unknown>[];
  const trace = first.trace as Record<string, number[]>;
  const inTree = (changes: object) => ({ ...first, trace: { ...trace, ...changes } });
  const n = trace.tokens.length;
  const cases: [unknown[], RegExp][] = [
    [["text"], /line 1: found "text", wanted a row of type start, round or end$/],
    [[{ type: "toString" }], /line 1: found \{"type":"toString"\}, wanted a row of type/],
    [[{ ...start, id: 3 }], /line 1: found id 3, wanted a text$/],
    [[{ ...start, prompt: [1.5] }], /line 1: found prompt \[1\.5\], wanted a list of token ids$/],
    [[{ ...start, generation: 1 }], /line 1: found the start of generation 1, wanted 0$/],
    [[first], /line 1: found a row of generation 0, wanted one that has begun/],
    [[start, { ...first, round: 2 }], /line 2: found round 2 of generation 0, wanted 1$/],
    [[start, { ...first, draftMs: undefined }], /line 2: found draftMs nothing, wanted millisec/],
    [[start, { ...first, tokens: Array(9).fill(1) }], /line 2: found 9 tokens and \d accepted/],
    [[start, { ...first, drafted: 99 }], /line 2: found 99 drafted and \d accepted, wanted 7 and/],
    [[start, { ...first, trace: 1 }], /line 2: found trace 1, wanted an object$/],
    [[start, inTree({ parents: [0] })], /line 2: found trace\.parents \[0\], wanted -1, then/],
    [[start, inTree({ parents: [-1, ...Array(n - 1).fill(n)] })], /found trace\.parents \[-1,8/],
    [[start, inTree({ scores: [0] })], /line 2: found trace\.scores \[0\], wanted a number a node/],
    [[start, inTree({ choices: undefined })], /found trace\.choices nothing, wanted a token id/],
    [[start, inTree({ probabilities: Array(n).fill(2) })], /found trace\.probabilities \[2,2/],
    [[start, inTree({ path: [n] })], /found trace\.path \[8\], wanted nodes, each the child/],
    [[start, rows.at(-1), first], /line 3: found a row of generation 0, wanted one that has begun/],
  ];
  for (const [lines, message] of cases) assert.throws(() => parseTrace(textOf(lines)), message);
  assert.throws(
    () => parseTrace(`not JSON\n${textOf([start])}`, { name: "a.jsonl" }),
    /^Error: Cannot read a\.jsonl, line 1: found "not JSON", wanted a JSON object$/,
  );
});

Deno.test("a file that there is not, and a folder", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await assert.rejects(readTrace(join(folder, "a.jsonl")), /found no such file, wanted a trace/);
    await assert.rejects(readTrace(folder), /found a folder, wanted a trace/);
  } finally {
    await Deno.remove(folder);
  }
});
