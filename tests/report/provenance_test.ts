/** What a run records of itself, and the command line that comes of it, read back by a shell. */
import assert from "node:assert/strict";
import { totalmem } from "node:os";
import { join } from "node:path";
import {
  commandLine,
  hashOf,
  peakBytes,
  ranCommand,
  readThing,
  shellWord,
} from "../../lib/report/provenance.ts";

const DECLARED = {
  count: { type: "integer", default: 40 },
  score: { type: "number", default: -6 },
  name: { type: "string" },
  quick: { type: "boolean" },
  out: { type: "string", default: "runs/x" },
} as const;

Deno.test("all options are recorded as typed values, those that differ from their defaults are named", () => {
  const values = { count: 40, score: -2.5, name: undefined, quick: false, out: "a", help: false };
  const ran = ranCommand("try", values, { declared: DECLARED, leaveOut: ["out"] });
  assert.deepEqual(ran, {
    task: "try",
    options: { count: 40, score: -2.5, quick: false },
    changed: ["score"],
  });
  const other = ranCommand("try", { ...values, quick: true, name: "n" }, { declared: DECLARED });
  assert.deepEqual(other.changed, ["score", "name", "quick", "out"]);
});

Deno.test("the command line names what differs and what is added, and nothing else", () => {
  const ran = {
    task: "try",
    options: { count: 3, score: -2, quick: true },
    changed: ["score", "quick"],
  };
  assert.equal(commandLine(ran), "deno task try --score=-2 --quick");
  const more = { out: "runs/again", score: -1, quick: false };
  assert.equal(commandLine(ran, { more }), "deno task try --score=-1 --out runs/again");
});

Deno.test("a shell reads every word as it was", async () => {
  const words = [
    "plain",
    "a b",
    "it's",
    `"$HOME"`,
    "`x`",
    "a\nb",
    "*",
    "",
    "ä;b",
    "1e-3,6e-4",
    "\\",
  ];
  const line = ["printf", "'%s\\0'", ...words.map(shellWord)].join(" ");
  const { stdout } = await new Deno.Command("sh", { args: ["-c", line] }).output();
  assert.deepEqual(new TextDecoder().decode(stdout).split("\0").slice(0, -1), words);
  assert.equal(shellWord("runs/a-1.json"), "runs/a-1.json");
});

Deno.test("hashes are the first 16 digits of SHA-256, of parts and of files", async () => {
  // Of "abc": the standard's example.
  assert.equal(hashOf(["a", new Uint8Array([98, 99])]), "ba7816bf8f01cfea");
  const folder = await Deno.makeTempDir(), path = join(folder, "abc");
  try {
    await Deno.writeTextFile(path, "abc");
    const thing = await readThing(path, { name: "mine" });
    assert.deepEqual(thing, { name: "mine", hash: "ba7816bf8f01cfea", bytes: 3 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the largest memory is in bytes: at least what is held now, at most what the machine has", () => {
  const before = peakBytes(), held = new Uint8Array(64e6).fill(1), now = Deno.memoryUsage().rss;
  const peak = peakBytes();
  assert.ok(peak >= before && peak > held.length, `${before}, then ${peak}`);
  // The two are counted a moment apart, and in pages.
  assert.ok(peak > 0.9 * now && peak <= totalmem(), `${peak}, now ${now}`);
});
