/**
 * The script that makes every table of the README: each table has its entry, every task that is named exists and takes
 * the options it is given, what is done is skipped, what failed goes on.
 */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import {
  commandLines,
  ENTRIES,
  type Entry,
  missingPlaces,
  reproduce,
} from "../../experiments/reproduce.ts";

const ROOT = resolve(import.meta.dirname!, "../..");
const README = await Deno.readTextFile(join(ROOT, "README.md"));
const { tasks } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json"))) as {
  tasks: Record<string, { command: string }>;
};

/** Tables that hold no measured number, by their first heading cells. */
const NOT_MEASURED = [["task", "does"], ["notebook", "shows"]];

/** Heading cells of every table in the README. */
function headings(): string[][] {
  const lines = README.split("\n");
  const rules = lines.flatMap((line, i) => /^\|[ :|-]+\|$/.test(line) ? [i - 1] : []);
  return rules.map((i) => lines[i].split("|").slice(1, -1).map((cell) => cell.trim()));
}

Deno.test("every table of the README has an entry, and every entry's table is there", () => {
  const found = headings().filter((h) =>
    !NOT_MEASURED.some((n) => `${n}` === `${h.slice(0, n.length)}`)
  );
  assert.ok(found.length >= 5, `${found.length} tables`);
  const made = ENTRIES.flatMap(({ table }) => table === undefined ? [] : [[...table]]);
  assert.deepEqual(made.map(String).sort(), found.map(String).sort());
});

Deno.test("every deno task of the README and of the entries exists", () => {
  const lines = ENTRIES.flatMap((entry) => commandLines(entry));
  const named = [README, ...lines].flatMap((text) =>
    [...text.matchAll(/deno task ([a-z][\w:-]*)/g)].map(([, name]) => name)
  );
  assert.ok(named.length > 30);
  assert.deepEqual([...new Set(named)].filter((name) => !(name in tasks)), []);
});

Deno.test("every option that an entry gives is one of its task's", async () => {
  const given = new Map<string, Set<string>>();
  for (const [task, ...words] of ENTRIES.flatMap((e) => e.commands)) {
    const options = words.filter((w) => w.startsWith("--"));
    given.set(task, (given.get(task) ?? new Set()).union(new Set(options)));
  }
  await Promise.all([...given].map(async ([task, options]) => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["task", "--quiet", "--config", join(ROOT, "deno.json"), task, "--help"],
      stderr: "null",
    }).output();
    const help = new TextDecoder().decode(stdout);
    for (const option of options) assert.match(help, new RegExp(`^ *${option}\\b`, "m"), task);
  }));
});

Deno.test("names are told apart, results lie in the entry's folder, lines are one line each", () => {
  const names = ENTRIES.map((e) => e.name);
  assert.equal(new Set(names).size, names.length);
  for (const entry of ENTRIES) {
    const lines = commandLines(entry, { suites: "my suites", python: "python3" });
    assert.ok(lines.every((l) => l.startsWith("deno task ") && !/[{}\n]/.test(l)), lines.join());
    assert.deepEqual(missingPlaces(entry, { suites: "s", python: "p" }), []);
  }
  const [suites] = ENTRIES;
  assert.deepEqual(missingPlaces(suites, {}), ["suites"]);
  assert.match(
    commandLines(suites, { suites: "my suites" })[0],
    /^deno task eval --suite 'ours,my suites\/gsm8k.*' --out runs\/reproduce\/suites\/greedy$/,
  );
});

const TOY: Entry[] = [
  { name: "one", says: "First.", commands: [["a", "--out", "{OUT}/x"], ["b", "{suites}"]] },
  { name: "two", says: "Second.", commands: [["c", "--python", "{python}"]] },
];

Deno.test("what is done is skipped, what failed goes on, what lacks an option is left out", async () => {
  const folder = await Deno.makeTempDir(), ran: string[] = [];
  let broken = true;
  const run = (words: readonly string[]) => {
    ran.push(words.join(" "));
    if (broken && words[0] === "b") return Promise.reject(new Error("no disk"));
    return Promise.resolve(`output of ${words[0]}\n`);
  };
  const says: string[] = [];
  const options = { entries: TOY, run, say: (line: string) => says.push(line) };
  const results = () => Deno.readTextFile(join(folder, "results.md"));
  try {
    const places: Record<string, string> = { suites: "s" };
    assert.deepEqual(await reproduce(folder, { ...options, places }), ["one", "two"]);
    assert.deepEqual(ran, ["a --out runs/reproduce/one/x", "b s"]);
    assert.match(says.join("\n"), /one: no disk; the same.*\ntwo: left out, it needs --python/);
    assert.match(await results(), /\$ deno task a .*\n {4}output of a\n\n {4}not run yet\n/);
    broken = false;
    places.python = "p";
    assert.deepEqual(await reproduce(folder, { ...options, places }), []);
    assert.deepEqual(ran.slice(2), ["b s", "c --python p"]);
    assert.deepEqual(await reproduce(folder, { ...options, places }), []);
    assert.equal(ran.length, 4, "all was done before");
    // Another option makes another command.
    assert.deepEqual(
      await reproduce(folder, { ...options, places: { ...places, suites: "t" } }),
      [],
    );
    assert.deepEqual(ran.slice(4), ["b t"]);
    await reproduce(folder, { ...options, places: { suites: "u", python: "p" }, only: ["two"] });
    assert.equal(ran.length, 5);
    await assert.rejects(
      reproduce(folder, { ...options, only: ["three"] }),
      /wanted some of one, two/,
    );
    assert.ok(!(await results()).includes("not run yet"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
