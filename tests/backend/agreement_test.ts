/**
 * Every backend computes what the reference defines: each op at awkward sizes, each op inside Programs that
 * update their inputs in place, and each composite as its own expansion. A backend that cannot be opened
 * is an ignored test with its name. Data is random and away from zero.
 */
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { openWebGpuBackend } from "../../lib/backend/webgpu/backend.ts";
import { expand, isComposite } from "../../lib/graph/composites.ts";
import type { HostArray, Node, OpName } from "../../lib/graph/node.ts";
import * as ops from "../../lib/graph/ops.ts";
import { type Program, program } from "../../lib/graph/program.ts";
import { assertClose } from "../tolerance.ts";
import { agreementCases, type Case, dataOf } from "./agreement_cases.ts";
import { type Scenario, scenarios } from "./agreement_scenarios.ts";

const OPENERS: Record<string, () => Promise<Backend>> = {
  reference: () => Promise.resolve(referenceBackend()),
  "onnx (ffi)": () => openOnnxBackend({ runner: "ffi" }),
  "onnx (binding)": () => openOnnxBackend({ runner: "binding" }),
  webgpu: () => openWebGpuBackend(),
};

type Data = Record<string, HostArray>;

/** Runs a program some times over the same tensors; `state` is what the updated tensors hold at the end. */
async function runOn(
  backend: Backend,
  p: Program,
  { data, runs = 1 }: { data: Data; runs?: number },
): Promise<{ outputs: Data; state: Data }> {
  using executable = await backend.compile(p);
  const tensors = Object.fromEntries(
    Object.entries(p.inputs).map(([name, n]) => [
      name,
      backend.tensor(data[name].slice(), n.shape),
    ]),
  );
  let outputs: Data = {};
  for (let i = 0; i < runs; i++) {
    const results = await executable.run(tensors);
    const read = Object.entries(results).map(async ([k, t]) => [k, (await t.read()).slice()]);
    outputs = Object.fromEntries(await Promise.all(read));
  }
  const state: Data = {};
  for (const name of Object.keys(p.updates)) state[name] = (await tensors[name].read()).slice();
  for (const t of Object.values(tensors)) t[Symbol.dispose]();
  return { outputs, state };
}

/** The inputs of case number i, named apart, and its result. */
function place(c: Case, i: number): { xs: Node[]; y: Node; data: Data } {
  const names = c.inputs.map((_, j) => `case${i}.x${j}`);
  const xs = c.inputs.map(({ shape, dtype }, j) => ops.input(names[j], shape, dtype));
  return {
    xs,
    y: c.build(...xs),
    data: Object.fromEntries(c.inputs.map((x, j) => [names[j], dataOf(x, `${j}`)])),
  };
}

async function checkOp(backend: Backend, op: string, cases: readonly Case[]): Promise<void> {
  const placed = cases.map(place);
  const p = program(Object.fromEntries(placed.map(({ y }, i) => [`case${i}`, y])));
  const data = Object.assign({}, ...placed.map((x) => x.data));
  const found = await runOn(backend, p, { data }), wanted = await runOn(REFERENCE, p, { data });
  cases.forEach(({ tolerance }, i) => {
    const { y, xs } = placed[i];
    const what = `${op} of ${xs.map((x) => `[${x.shape}]`).join(", ")} on ${backend.name}:`;
    assertClose(found.outputs[`case${i}`], wanted.outputs[`case${i}`], {
      what,
      shape: y.shape,
      ...tolerance,
    });
  });
}

/** Adds each result to a state, and writes it over its first operand where it fits; runs twice. */
async function checkUpdates(backend: Backend, op: string, cases: readonly Case[]): Promise<void> {
  const placed = cases.map(place), updates: Record<string, Node> = {};
  const data: Data = Object.assign({}, ...placed.map((x) => x.data));
  placed.forEach(({ xs, y }, i) => {
    if (y.dtype !== "f32") return;
    const name = `case${i}.state`;
    data[name] = dataOf({ shape: y.shape, dtype: "f32" }, name);
    updates[name] = ops.add(ops.input(name, y.shape), y);
    const [x] = xs, fits = x?.dtype === "f32" && String(x.shape) === String(y.shape);
    if (fits && !cases[i].inputs[0].positive) updates[`case${i}.x0`] = y;
  });
  if (Object.keys(updates).length === 0) return;
  const p = program({}, { updates });
  const found = await runOn(backend, p, { data, runs: 2 });
  const wanted = await runOn(REFERENCE, p, { data, runs: 2 });
  for (const name of Object.keys(updates)) {
    const { a = 1e-6, n = 1 } = cases[Number(/\d+/.exec(name)![0])].tolerance ?? {};
    assertClose(found.state[name], wanted.state[name], {
      what: `${op} written to ${name} on ${backend.name}:`,
      shape: updates[name].shape,
      // The second run starts from rounded values.
      ...{ a: 10 * a, n: 100 * n },
    });
  }
}

async function checkExpansion(backend: Backend, op: string, cases: readonly Case[]): Promise<void> {
  const placed = cases.map(place);
  const nodes = placed.flatMap(({ y }, i) => [[`native${i}`, y], [`parts${i}`, expand(y)[0]]]);
  const p = program(Object.fromEntries(nodes));
  const { outputs } = await runOn(backend, p, {
    data: Object.assign({}, ...placed.map((x) => x.data)),
  });
  cases.forEach(({ tolerance }, i) =>
    assertClose(outputs[`native${i}`], outputs[`parts${i}`], {
      what: `${op} against its expansion on ${backend.name}:`,
      shape: placed[i].y.shape,
      ...tolerance,
    })
  );
}

async function checkScenario(backend: Backend, name: string, s: Scenario): Promise<void> {
  const { runs = 3, tolerance, data, free } = s, p = s.build();
  const found = await runOn(backend, p, { data, runs });
  const wanted = await runOn(REFERENCE, p, { data, runs });
  for (const part of ["outputs", "state"] as const) {
    const nodes = part === "outputs" ? p.outputs : p.updates;
    for (const key of Object.keys(nodes)) {
      const what = `${key} of "${name}" on ${backend.name}:`;
      const { shape } = nodes[key],
        hide = (values: HostArray) => values.map((v, i) => free?.(key, i) ? 0 : v);
      const options = { what, shape, ...tolerance };
      assertClose(hide(found[part][key]), hide(wanted[part][key]), options);
    }
  }
}

const REFERENCE = referenceBackend();
const cases = Object.entries(agreementCases) as [OpName, readonly Case[]][];

for (const [name, open] of Object.entries(OPENERS)) {
  let backend: Backend;
  try {
    backend = await open();
  } catch (error) {
    const [reason] = String(error).split("\n");
    Deno.test({ name: `agreement on ${name}: not available (${reason})`, ignore: true, fn() {} });
    continue;
  }
  for (const [op, list] of cases) {
    if (list.length === 0) continue;
    Deno.test(`${op} on ${name} = definition`, () => checkOp(backend, op, list));
    Deno.test(`${op} on ${name}, in updates`, () => checkUpdates(backend, op, list));
    if (!isComposite(op)) continue;
    Deno.test(`${op} on ${name} = its expansion`, () => checkExpansion(backend, op, list));
  }
  for (const [title, scenario] of Object.entries(scenarios)) {
    Deno.test(`${title} on ${name} = definition`, () => checkScenario(backend, title, scenario));
  }
}
