/** Tests lib/data/word_problems.ts: answers recomputed from the text alone. */
import { equal, ok } from "node:assert/strict";
import { STORY_COUNT, wordProblem } from "../../lib/data/word_problems.ts";
import { type Random, random } from "../../lib/random.ts";

/** Stories whose answer can be read off the numbers in their text. */
const READINGS: [RegExp, (n: number[]) => number][] = [
  [/buys (\d+) .* that cost \$(\d+) each\. If \w+ pays with \$(\d+)/, ([c, p, m]) => m - c * p],
  [/saves \$(\d+) every week for (\d+) weeks\..*gives \w+ \$(\d+)/, ([w, n, g]) => w * n + g],
  [/reads (\d+) pages .* After (\d+) days .* (\d+) pages to read/, ([p, d, l]) => p * d + l],
  [/takes (\d+) buses .* has (\d+) seats, and (\d+) seats/, ([b, s, e]) => b * (s - e)],
  [/drives at (\d+) miles per hour for (\d+) hours\. .* another (\d+)/, ([s, h, r]) => s * h + r],
  [
    /costs \$(\d+)\. \w+ gets a discount of (\d+)% and buys (\d+)/,
    ([p, d, n]) => p * (100 - d) / 100 * n,
  ],
];

Deno.test("answers agree with the text", () => {
  const seen = new Set<number>();
  for (let i = 0; i < 2000; i++) {
    const { text, answer } = wordProblem(random(5, i));
    ok(Number.isInteger(answer) && answer > 0, `${text}: ${answer}`);
    READINGS.forEach(([pattern, compute], which) => {
      const match = pattern.exec(text);
      if (match === null) return;
      seen.add(which);
      equal(answer, compute(match.slice(1).map(Number)), text);
    });
  }
  equal(seen.size, READINGS.length);
  ok(STORY_COUNT >= 25);
});

/** A stream that tells a given story, every number of it the least or the largest it may be. */
function extremes(story: number, from: Random): Random {
  return {
    ...from,
    integer: (n) => from.uniform() < 0.5 ? 0 : n - 1,
    choose: (items) => typeof items[0] === "function" ? items[story] : from.choose(items),
  };
}

Deno.test("answers are positive whole numbers at the ends of every range too", () => {
  for (let story = 0; story < STORY_COUNT; story++) {
    for (let i = 0; i < 64; i++) {
      const { text, answer } = wordProblem(extremes(story, random(6, story, i)));
      ok(Number.isInteger(answer) && answer > 0, `${text}: ${answer}`);
      ok(!/undefined|NaN| 0 |-\d/.test(text), text);
    }
  }
});
