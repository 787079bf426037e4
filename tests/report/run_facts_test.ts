/** Warnings about two runs: one for every fact that differs, naming both values and both runs; none for twins. */
import assert from "node:assert/strict";
import type { Environment } from "../../lib/report/environment.ts";
import type { Inputs } from "../../lib/report/provenance.ts";
import { factsOf, warningsOf } from "../../lib/report/run_facts.ts";
import { NOWHERE } from "./samples.ts";
import { SOMEWHERE, storedEvaluation } from "./stored_runs.ts";

const INPUTS = storedEvaluation({ a: [2] }).inputs!;

function facts(environment: Partial<Environment> = {}, inputs: Partial<Inputs> = {}) {
  return factsOf({
    environment: { ...SOMEWHERE, ...environment },
    inputs: { ...INPUTS, ...inputs },
    reads: ["target", "draft", "suites"],
  });
}
const against = (other: ReturnType<typeof facts>) => warningsOf([facts(), other], ["one", "two"]);

Deno.test("twins are not warned about, whenever they ran", () => {
  assert.deepEqual(against(facts({ date: "2001-01-01 00:00" })), []);
});

Deno.test("every fact that differs is named with both values", () => {
  const thing = { name: "x", hash: "9999999999999999" };
  const changes: [ReturnType<typeof facts>, string][] = [
    [facts({ cpu: "slide rule" }), "cpu: abacus in one, but slide rule in two"],
    [facts({ cores: 4 }), "cores: 2 in one, but 4 in two"],
    [facts({ memory: "2 GiB" }), "memory: 1 GiB in one, but 2 GiB in two"],
    [facts({ backend: "webgpu" }), "backend: reference in one, but webgpu in two"],
    [facts({ adapter: "a card" }), "adapter: none in one, but a card in two"],
    [facts({ deno: "9.9.9" }), "deno: 0.0.0 in one, but 9.9.9 in two"],
    [facts({ commit: "def5678" }), "commit: abc1234 in one, but def5678 in two"],
    [
      facts({ lockfile: "fedcba9876543210" }),
      "lockfile: 0123456789abcdef in one, but fedcba9876543210 in two",
    ],
    [
      facts({ packages: "one 1.0.1" }),
      "packages: one 1.0.0, two 2.0.0 in one, but one 1.0.1 in two",
    ],
    [
      facts({}, { target: thing }),
      "target hash: aaaaaaaaaaaaaaaa in one, but 9999999999999999 in two",
    ],
    [
      facts({}, { draft: thing }),
      "draft hash: bbbbbbbbbbbbbbbb in one, but 9999999999999999 in two",
    ],
    [
      facts({}, { suites: [{ ...thing, count: 8 }] }),
      "suites: ours cccccccccccccccc (1 questions) in one, but x 9999999999999999 (8 questions) in two",
    ],
  ];
  for (const [other, warning] of changes) assert.deepEqual(against(other), [warning]);
});

Deno.test("what one run, or neither, recorded is said", () => {
  assert.deepEqual(against(facts({ lockfile: undefined })), [
    "lockfile: 0123456789abcdef in one, but not recorded by two",
  ]);
  assert.deepEqual(against(facts({ commit: "unknown" })), [
    "commit: abc1234 in one, but not recorded by two",
  ]);
  const older = factsOf({ environment: NOWHERE, reads: ["target"] });
  assert.deepEqual(warningsOf([older, older], ["one", "two"]), [
    "not recorded by either run: packages, lockfile, target hash",
  ]);
});

Deno.test("two runs of one commit with changes may be of different code", () => {
  const dirty = facts({ commit: "abc1234 with changes" });
  assert.deepEqual(warningsOf([dirty, dirty], ["one", "two"]), [
    "commit is abc1234 with changes in both: what was changed is not recorded and may differ",
  ]);
});
