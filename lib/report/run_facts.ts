/**
 * What two runs must have in common for their numbers to be compared without a word: machine, versions, commit,
 * lockfile, target, draft, data, suites. Facts of a stored run, and the warnings about two runs' facts, each naming
 * both values. The comparison itself: `comparison.ts`.
 */
import { type Environment, NOT_RECORDED } from "./environment.ts";
import type { Inputs } from "./provenance.ts";

/** By name; undefined where the run did not record it. */
export type Facts = Record<string, string | undefined>;

const MACHINE = ["cpu", "cores", "memory", "platform", "backend", "adapter"] as const;

/** A fact that was not recorded, or is known to be unknown. */
const known = (value: string | number | undefined) =>
  value === undefined || value === "unknown" || value === NOT_RECORDED || Number.isNaN(value)
    ? undefined
    : String(value);

/** The facts of a run. Things that this kind of run does not read are left out. */
export function factsOf(
  { environment, inputs, reads }: {
    environment: Partial<Environment>;
    inputs?: Inputs;
    /** Which inputs this kind of run has. */
    reads: readonly (keyof Inputs)[];
  },
): Facts {
  const facts: Facts = {};
  for (const key of MACHINE) facts[key] = known(environment[key]);
  // Without a GPU there is no adapter to record.
  facts.adapter ??= "none";
  for (const key of ["deno", "packages", "commit", "lockfile"] as const) {
    facts[key] = known(environment[key]);
  }
  for (const key of reads) {
    const thing = inputs?.[key];
    if (key === "suites") {
      const list = inputs?.suites?.map((s) => `${s.name} ${s.hash} (${s.count} questions)`);
      facts.suites = list?.join(", ");
    } else {facts[`${key} hash`] = thing === undefined
        ? undefined
        : (thing as { hash: string }).hash;}
  }
  return facts;
}

const CHANGED = "with changes";

/** A line for every fact that differs, and for what one or both runs did not record. */
export function warningsOf(
  [a, b]: readonly [Facts, Facts],
  [nameA, nameB]: readonly [string, string],
): string[] {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])], warnings: string[] = [];
  const silent: string[] = [];
  for (const name of names) {
    const [one, other] = [a[name], b[name]];
    if (one === undefined && other === undefined) silent.push(name);
    else if (one === undefined || other === undefined) {
      const [has, lacks] = one === undefined ? [nameB, nameA] : [nameA, nameB];
      warnings.push(`${name}: ${one ?? other} in ${has}, but ${NOT_RECORDED} by ${lacks}`);
    } else if (one !== other) {
      warnings.push(`${name}: ${one} in ${nameA}, but ${other} in ${nameB}`);
    } else if (name === "commit" && one.endsWith(CHANGED)) {
      warnings.push(
        `commit is ${one} in both: what was changed is not recorded and may differ`,
      );
    }
  }
  if (silent.length > 0) warnings.push(`${NOT_RECORDED} by either run: ${silent.join(", ")}`);
  return warnings;
}
