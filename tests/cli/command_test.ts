/** Options of tasks: parsing, defaults, choices, ranges, the help text, and what is said when they are wrong. */
import assert from "node:assert/strict";
import {
  type Command,
  errorLine,
  helpText,
  type Option,
  parseOptions,
  withPresets,
} from "../../lib/cli/command.ts";
import { DECODING_OPTIONS, openDecoding } from "../../lib/cli/decoding_options.ts";
import { loadSuite } from "../../lib/data/suites.ts";
import { evaluate } from "../../lib/eval/run.ts";

const OPTIONS = {
  out: { type: "string", default: "runs/x", describe: "a folder" },
  name: { type: "string", describe: "a name" },
  mask: { type: "string", choices: ["paper", "none"], default: "paper", describe: "a rule" },
  count: { type: "integer", minimum: 1, default: 4, describe: "how many" },
  score: { type: "number", default: -2.5, describe: "a number" },
  share: { type: "number", minimum: 0, maximum: 1, default: 0.5, describe: "a share" },
  limit: { type: "integer", describe: "no default" },
  quick: { type: "boolean", describe: "a switch" },
} as const satisfies Record<string, Option>;

const COMMAND: Command<typeof OPTIONS> = { name: "try", summary: "tries", options: OPTIONS };

const parse = (...args: string[]) => parseOptions(OPTIONS, args);

Deno.test("without arguments every option has its default", () => {
  assert.deepEqual(parse(), {
    out: "runs/x",
    name: undefined,
    mask: "paper",
    count: 4,
    score: -2.5,
    share: 0.5,
    limit: undefined,
    quick: false,
    json: false,
    help: false,
  });
});

Deno.test("given values win and have their types", () => {
  const found = parse("--out", "a b", "--count=7", "--share", "1", "--quick", "--mask", "none");
  assert.deepEqual([found.out, found.count, found.share], ["a b", 7, 1]);
  assert.deepEqual([found.quick, found.mask], [true, "none"]);
  assert.equal(parse("--count", "1", "--count", "2").count, 2);
  assert.deepEqual([parse("--json").json, parse("--help").help], [true, true]);
});

Deno.test("words go to the options that take them, in the order of their declaration", () => {
  const word = { type: "string", positional: true, default: "none", describe: "a word" } as const;
  const words = { first: word, quick: OPTIONS.quick, second: word };
  const found = (...args: string[]) => {
    const { first, second } = parseOptions(words, args);
    return [first, second];
  };
  assert.deepEqual(found(), ["none", "none"]);
  assert.deepEqual(found("a", "--quick"), ["a", "none"]);
  assert.deepEqual(found("a", "--quick", "b"), ["a", "b"]);
  assert.deepEqual(found("a", "b", "--second", "c"), ["a", "c"], "a name wins over a word");
  assert.throws(() => found("a", "b", "c"), /found a b c, wanted 2 words besides the options/);
});

Deno.test("an option that takes several words takes all that are left, in order", () => {
  const word = { type: "string", positional: true, describe: "a word" } as const;
  const words = {
    first: word,
    rest: { ...word, many: true, short: "r" },
    quick: OPTIONS.quick,
  } as const;
  const found = (...args: string[]) => {
    const { first, rest } = parseOptions(words, args);
    return [first, ...rest];
  };
  assert.deepEqual(parseOptions(words, []).rest, []);
  assert.deepEqual(found("a", "b", "--quick", "c", "d"), ["a", "b", "c", "d"]);
  assert.deepEqual(found("a", "--rest", "b", "c"), ["a", "b", "c"]);
  assert.deepEqual(found("a", "-r", "b", "--rest", "c", "d"), ["a", "b", "c", "d"]);
});

Deno.test("negative numbers may follow a blank or an equals sign", () => {
  assert.equal(parse("--score", "-1.5").score, -1.5);
  assert.equal(parse("--score=-1.5").score, -1.5);
  assert.equal(parse("--score", "-.5").score, -0.5);
});

Deno.test("a lone -- is passed over", () => {
  assert.equal(parse("--", "--count", "9").count, 9);
});

/** Arguments, and the line they lead to. */
const REFUSED: [args: string[], line: string][] = [
  [["--count", "x"], "--count is x, wanted a whole number from 1"],
  [["--count", "1.5"], "--count is 1.5, wanted a whole number from 1"],
  [["--count", "0"], "--count is 0, wanted a whole number from 1"],
  [["--count", "-3"], "--count is -3, wanted a whole number from 1"],
  [["--count", ""], "--count is empty, wanted a whole number from 1"],
  [["--limit", "NaN"], "--limit is NaN, wanted a whole number"],
  [["--score", "Infinity"], "--score is Infinity, wanted a number"],
  [["--share", "1.1"], "--share is 1.1, wanted a number from 0 to 1"],
  [["--mask", "papier"], "--mask is papier, wanted one of paper, none"],
  [["--cuont", "3"], "Unknown option '--cuont'; see deno task try --help"],
  [["a.file"], "Unexpected argument 'a.file'; see deno task try --help"],
  [["--count"], "Option '--count <value>' argument missing; see deno task try --help"],
  [["--quick=1"], "Option '--quick' does not take an argument; see deno task try --help"],
];

for (const [args, line] of REFUSED) {
  Deno.test(`${args.join(" ")} is refused in one line`, () => {
    assert.throws(() => parse(...args), (cause) => {
      assert.equal(errorLine(cause, { name: "try", folder: "nowhere" }), line);
      return true;
    });
  });
}

Deno.test("settings of decoding out of range are refused before anything is opened", async () => {
  const bad: [string[], RegExp][] = [
    [["--temperature", "-1"], /--temperature is -1, wanted a number from 0/],
    [["--top-k", "-1"], /--top-k is -1, wanted a whole number from 0/],
    [["--top-p", "0"], /Cannot sample with top-p 0: wanted more than 0 and at most 1/],
    [["--top-p", "1.5"], /Cannot sample with top-p 1.5/],
    [["--tree", "8/0/2"], /tree of depth 0: wanted a whole number from 1/],
    [["--tree", "8/6/0"], /tree of width 0: wanted a whole number from 1/],
    [["--tree", "1/6/2"], /tree of budget 1: wanted a whole number from 2/],
    [["--tokens", "1"], /--tokens is 1, wanted a whole number from 2/],
  ];
  for (const [args, message] of bad) {
    const open = async () => await openDecoding(parseOptions(DECODING_OPTIONS, args));
    await assert.rejects(open, message, args.join(" "));
  }
});

Deno.test("--target-bits opens the target as it says, and too large a tree is refused by its size", async () => {
  for (const bits of ["4", "8", "32"]) {
    const args = ["--method", "plain", "--target-bits", bits];
    using decoding = await openDecoding(parseOptions(DECODING_OPTIONS, args));
    assert.equal(decoding.target.target.bits, Number(bits));
  }
  using decoding = await openDecoding(parseOptions(DECODING_OPTIONS, ["--tree", "65/6/10"]));
  const { target, settings } = decoding, suite = await loadSuite("ours", { count: 1 });
  await assert.rejects(
    () => evaluate(target, suite, settings).next(),
    /Cannot verify trees of 65 nodes: wanted at most 64/,
  );
});

Deno.test("an error is one line, with paths from where the task was started", () => {
  const line = (message: string) => errorLine(new Error(message), { name: "try", folder: "/a/b" });
  assert.equal(
    line("Cannot read /a/b/runs/x.json: no such file"),
    "Cannot read runs/x.json: no such file",
  );
  assert.equal(line("failed\n  in file:///a/b/lib/x.ts\n"), "failed in lib/x.ts");
  assert.equal(line("Cannot read /other/x"), "Cannot read /other/x");
  assert.equal(errorLine("a text", { name: "try", folder: "/a/b" }), "a text");
});

Deno.test("the help names the task and every option with value, default and meaning", () => {
  const lines = helpText(COMMAND).split("\n");
  assert.equal(lines[0], "deno task try: tries");
  assert.deepEqual(lines.slice(2).map((l) => l.trim().replace(/ +/g, " ")), [
    "--out STRING a folder [runs/x]",
    "--name STRING a name",
    "--mask paper|none a rule [paper]",
    "--count INTEGER how many [4]",
    "--score NUMBER a number [-2.5]",
    "--share NUMBER a share [0.5]",
    "--limit INTEGER no default",
    "--quick a switch",
    "--json print one JSON object on standard output, everything else on standard error",
    "--help print this and stop",
  ]);
  const starts = lines.slice(2).map((l) => /^ +\S+( \S+)? {2,}/.exec(l)?.[0].length);
  assert.equal(new Set(starts).size, 1, "descriptions do not line up");
});

Deno.test("presets stand in place of defaults, never of what is given, be it the default's value", () => {
  const declared = {
    way: { type: "string", default: "own", describe: "" },
    count: { type: "integer", default: 40, describe: "" },
    size: { type: "number", default: 1, describe: "" },
  } as const;
  const valuesOf = (...args: string[]) => {
    const options = parseOptions(declared, args);
    const presets: Record<string, number> = options.way === "other" ? { count: 80, size: 2 } : {};
    const { way, count, size } = withPresets(options, { presets, args });
    return [way, count, size];
  };
  assert.deepEqual(valuesOf(), ["own", 40, 1]);
  assert.deepEqual(valuesOf("--way", "other"), ["other", 80, 2]);
  assert.deepEqual(valuesOf("--count", "40", "--way=other"), ["other", 40, 2]);
  assert.deepEqual(valuesOf("--way", "other", "--size=1", "--count=3"), ["other", 3, 1]);
});
