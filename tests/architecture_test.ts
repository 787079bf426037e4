/**
 * The house rules, read from the tree: which room may import which, how long a file may be and what it may be
 * called, that it opens with a comment and has a test, and that no file names the machine it was written on.
 * A rule that stands in the way is changed here, on purpose. The rooms: the map in README.md.
 */
import assert from "node:assert/strict";
import { dirname, join, normalize, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname!, "..");
const SKIPPED = new Set([".git", "node_modules", "runs"]);
const TEXTS = /\.(ts|md|json|jsonc|ya?ml|sh|wgsl|ipynb|html|css|lock|toml)$|LICENSE$|NOTICE$/;
/** This file spells out what others may not contain. */
const SELF = "tests/architecture_test.ts";

function* filesUnder(folder: string): Generator<string> {
  for (const { name, isDirectory, isFile } of Deno.readDirSync(join(ROOT, folder))) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (isDirectory && !SKIPPED.has(name)) yield* filesUnder(path);
    else if (isFile) yield path;
  }
}

const FILES = [...filesUnder("")].sort();
const CODE = FILES.filter((f) => /^(lib|kernels|experiments|tests)\/.*\.ts$/.test(f));
const LIB = CODE.filter((f) => f.startsWith("lib/"));
const text = (file: string) => Deno.readTextFileSync(join(ROOT, file));

/** An import or re-export, its path relative to the root if it is one of ours. */
interface Arrow {
  file: string;
  to: string;
  /** The names between the braces; "" for others. */
  names: string;
  isType: boolean;
}

function arrowsOf(file: string): Arrow[] {
  const code = text(file).replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const found = [
    ...code.matchAll(/^(?:import|export)\s+(type\s+)?([^;"'`]*?)\s*from\s+["']([^"']+)["']/gm),
    ...code.matchAll(/^import\s+()()["']([^"']+)["']/gm),
    ...code.matchAll(/\bimport\(\s*()()["'`]([^"'`]+)["'`]/g),
  ];
  return found.map(([, type, names, specifier]) => ({
    file,
    to: specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : specifier,
    names: names.replace(/[{}\s]+/g, " ").trim(),
    isType: type !== undefined && type !== "",
  }));
}

const ARROWS = CODE.flatMap(arrowsOf);
const show = ({ file, to }: Arrow) => `${file} -> ${to}`;
const isOurs = (to: string) => /^(lib|kernels|experiments|tests|notebooks)\//.test(to);

/**
 * What a room may import beside itself: rooms, or files. `graph` is on the ground; `io`, and `hub` on it, are leaves;
 * a model is given its backend, so it knows the contract only.
 */
const MAY_IMPORT: Record<string, string[]> = {
  "lib/graph": [],
  "lib/random.ts": [],
  "lib/io": ["lib/graph/node.ts"],
  "lib/hub": ["lib/io"],
  "lib/text": ["lib/hub/model.ts", "lib/io"],
  "lib/backend": ["lib/graph", "lib/io/float16.ts", "lib/io/protobuf.ts", "kernels"],
  "lib/model": ["lib/graph", "lib/hub/model.ts", "lib/io", "lib/backend/backend.ts"],
  "lib/decode": [
    "lib/graph",
    "lib/model",
    "lib/backend/backend.ts",
    "lib/random.ts",
    "lib/report/events.ts",
  ],
  "lib/data": [
    "lib/backend/backend.ts",
    "lib/decode",
    "lib/graph",
    "lib/io",
    "lib/model",
    "lib/random.ts",
    "lib/report/events.ts",
    "lib/text",
  ],
  "lib/train": [
    "lib/graph",
    "lib/model",
    "lib/backend/backend.ts",
    "lib/data/features.ts",
    "lib/io",
    "lib/random.ts",
    "lib/report/events.ts",
  ],
  "lib/eval": [
    "lib/backend/backend.ts",
    "lib/data",
    "lib/decode",
    "lib/io",
    "lib/model",
    "lib/random.ts",
    "lib/report/events.ts",
    "lib/text",
  ],
  "lib/bench": [
    "lib/io",
    "lib/data",
    "lib/decode",
    "lib/eval",
    "lib/graph",
    "lib/model",
    "lib/backend/backend.ts",
    "lib/random.ts",
    "lib/train",
  ],
  "lib/report": [
    "lib/eval/metrics.ts",
    "lib/eval/protocol.ts",
    "lib/eval/stats.ts",
    "lib/eval/summary.ts",
    "lib/eval/tau_definitions.ts",
    "lib/io",
  ],
  "lib/serve": [
    "lib/backend/backend.ts",
    "lib/decode",
    "lib/model",
    "lib/random.ts",
    "lib/report/events.ts",
    "lib/report/trace.ts",
    "lib/report/tree_drawing.ts",
    "lib/text",
  ],
  "lib/notebook": ["lib/io"],
  "lib/experiment": [
    "lib/backend/backend.ts",
    "lib/data",
    "lib/decode",
    "lib/eval",
    "lib/io",
    "lib/model",
    "lib/report",
    "lib/text",
    "lib/train",
  ],
  "lib/cli": ["lib"],
  "lib/mod.ts": ["lib"],
  "kernels": ["lib/graph"],
  "experiments": ["lib/mod.ts"],
};

/** Packages, and the one room that knows each. */
const PACKAGES: Record<string, string> = {
  "@huggingface/hub": "lib/hub",
  "@huggingface/jinja": "lib/text",
  "@huggingface/tokenizers": "lib/text",
  "apache-arrow": "lib/data",
  "marked": "lib/notebook",
  "onnxruntime-node": "lib/backend/onnx",
};

const isIn = (path: string, place: string) => path === place || path.startsWith(`${place}/`);
const roomOf = (file: string) => Object.keys(MAY_IMPORT).find((room) => isIn(file, room));

Deno.test("arrows: every import is read, and none leads nowhere", () => {
  assert.ok(ARROWS.length > 200, `found only ${ARROWS.length} imports`);
  const missing = ARROWS.filter(({ to }) => isOurs(to) && !FILES.includes(to));
  assert.deepEqual(missing.map(show), []);
});

Deno.test("arrows: every file is in a room, and imports what its room may import", () => {
  const homeless = CODE.filter((f) => !f.startsWith("tests/") && roomOf(f) === undefined);
  assert.deepEqual(homeless, []);
  const wrong = ARROWS.filter(({ file, to }) => {
    const room = roomOf(file);
    if (room === undefined || !isOurs(to)) return false;
    return !isIn(to, room) && !MAY_IMPORT[room].some((place) => isIn(to, place));
  });
  assert.deepEqual(wrong.map(show), []);
});

Deno.test("arrows: graph imports nothing from outside, not even Node's modules", () => {
  const wrong = ARROWS.filter(({ file, to }) => isIn(file, "lib/graph") && !isIn(to, "lib/graph"));
  assert.deepEqual(wrong.map(show), []);
});

Deno.test("arrows: of the contract, models take types and zeros, nothing that runs", () => {
  const taken = ARROWS.filter(({ file, to }) =>
    isIn(file, "lib/model") && to === "lib/backend/backend.ts"
  );
  assert.ok(taken.length > 0);
  const wrong = taken.filter(({ isType, names }) =>
    !isType &&
    names.split(",").map((n) => n.trim()).some((n) => n !== "" && !/^type |^zeros$/.test(n))
  );
  assert.deepEqual(wrong.map(show), []);
});

Deno.test("arrows: only tasks, tests and lib/mod.ts know the backends themselves", () => {
  const backends = ["lib/backend/onnx", "lib/backend/reference.ts", "lib/backend/webgpu"];
  const mayKnow = ["lib/cli", "lib/mod.ts", "lib/backend/choose.ts", "tests", ...backends];
  const wrong = ARROWS.filter(({ file, to }) =>
    backends.some((b) => isIn(to, b)) && !mayKnow.some((place) => isIn(file, place))
  );
  assert.deepEqual(wrong.map(show), []);
});

Deno.test("arrows: nobody imports a task, or tests, or lib/mod.ts from within lib", () => {
  const wrong = ARROWS.filter(({ file, to }) => {
    if (file.startsWith("tests/")) return false;
    return (isIn(to, "lib/cli") && !isIn(file, "lib/cli")) || isIn(to, "tests") ||
      (isIn(file, "lib") && (to === "lib/mod.ts" || to === "griffin-lab"));
  });
  assert.deepEqual(wrong.map(show), []);
});

Deno.test("arrows: notebooks import the public names only", () => {
  for (const file of FILES.filter((f) => f.endsWith(".ipynb"))) {
    const cells = JSON.parse(text(file)).cells as {
      cell_type: string;
      source: string[] | string;
    }[];
    const code = cells.filter((c) => c.cell_type === "code").map((c) => [c.source].flat().join(""));
    const imports = code.join("\n").matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)["']([^"']+)["']/g);
    const wrong = [...imports].map(([, to]) => to).filter((to) =>
      /(^|\/)lib\/(?!mod\.ts$)/.test(to)
    );
    assert.deepEqual(wrong, [], file);
  }
});

Deno.test("arrows: a package is imported by one room, under its name in deno.json", () => {
  const { imports } = JSON.parse(text("deno.json")) as { imports: Record<string, string> };
  for (const { file, to } of ARROWS) {
    if (isOurs(to) || to.startsWith("node:") || to === "griffin-lab") continue;
    assert.ok(to in imports, `${file} imports ${to}, which deno.json does not name`);
    const room = PACKAGES[to];
    if (file.startsWith("lib/")) assert.ok(room && isIn(file, room), `${file} imports ${to}`);
  }
  for (const [name, from] of Object.entries(imports)) {
    assert.match(from, /^npm:(@[\w-]+\/)?[\w.-]+@\d+\.\d+\.\d+$|^\.\//, `${name} is not pinned`);
  }
});

Deno.test("files: at most 400 lines", () => {
  const long = CODE.filter((f) => text(f).split("\n").length - 1 > 400);
  assert.deepEqual(long, []);
});

Deno.test("files: those of the chat page are short too, and open with what they are", () => {
  const page = FILES.filter((f) => /^lib\/serve\/page\/.*\.(js|css|html)$/.test(f));
  assert.ok(page.length > 5);
  assert.deepEqual(page.filter((f) => text(f).split("\n").length - 1 > 400), []);
  const opening = /^(<!doctype html>\s*)?(\/\*|<!--)[\s\S]{20,}?(\*\/|-->)/;
  assert.deepEqual(page.filter((f) => !opening.test(text(f))), []);
});

Deno.test("files: snake_case, and no name that says nothing", () => {
  const name = /^([a-z0-9]+(_[a-z0-9]+)*\/)*[a-z0-9]+(_[a-z0-9]+)*\.ts$/;
  assert.deepEqual(CODE.filter((f) => !name.test(f)), []);
  const empty = /(^|\/|_)(utils?|common|helpers?|misc|types)(\/|\.|_)/;
  assert.deepEqual(FILES.filter((f) => empty.test(f)), []);
});

Deno.test("files: each opens with what it is", () => {
  const silent = CODE.filter((f) => !/^\/\*\*[\s\S]{20,}?\*\//.test(text(f)));
  assert.deepEqual(silent, []);
});

/** Files without a test of their own name, and the test or the reason instead. */
const TESTED_ELSEWHERE: Record<string, string> = {
  "lib/mod.ts": "its examples are run by deno task ok",
  "lib/report/events.ts": "types only",
  "lib/hub/bring.ts": "tests/hub/model_test.ts",
  "lib/hub/listing.ts": "tests/hub/model_test.ts",
  "lib/cli/fetch.ts": "tests/cli/models_test.ts",
  "lib/report/paper_results.ts": "tests/report/ledger_test.ts",
  "lib/report/figure_layout.ts": "tests/report/figures_test.ts",
  "lib/graph/node.ts": "tests/graph/ops_test.ts",
  "lib/decode/resident_round.ts": "tests/decode/resident_decoder_test.ts",
  "lib/backend/backend.ts": "tests/backend/agreement_test.ts",
  "lib/backend/onnx/backend.ts": "tests/backend/agreement_test.ts",
  "lib/backend/onnx/binding.ts": "tests/backend/agreement_test.ts",
  "lib/backend/onnx/emitter.ts": "tests/backend/agreement_test.ts",
  "lib/backend/onnx/ffi.ts": "tests/backend/agreement_test.ts",
  "lib/backend/onnx/lower.ts": "tests/backend/agreement_test.ts",
  "lib/backend/onnx/protobuf.ts": "tests/backend/agreement_test.ts",
  "lib/backend/onnx/runtime.ts": "tests/backend/agreement_test.ts",
  ...Object.fromEntries(
    ["elementwise", "launches", "lower", "product", "tensors", "device"].map((name) => [
      `lib/backend/webgpu/${name}.ts`,
      "tests/backend/agreement_test.ts",
    ]),
  ),
  "lib/report/svg_marks.ts": "tests/report/svg_chart_test.ts",
  "lib/backend/webgpu/print.ts": "tests/backend/webgpu/lower_test.ts",
  "lib/notebook/zmtp.ts": "tests/notebook/run_test.ts",
  "lib/notebook/kernel.ts": "tests/notebook/run_test.ts",
  "lib/cli/notebooks.ts": "its parts are in tests/notebook",
  "lib/cli/plan.ts": "prints what tests/bench/plan_test.ts tests",
  "lib/bench/machine_rates.ts": "tests/bench/plan_test.ts",
  "lib/cli/doctor_checkpoint.ts": "tests/cli/doctor_test.ts",
  "lib/cli/doctor_machine.ts": "prints what tests/backend/choose_test.ts tests",
  "lib/data/function_heads.ts": "tests/data/prompts_test.ts",
  "lib/data/shards.ts": "tests/data/features_test.ts",
  "lib/data/word_problems.ts": "tests/data/prompts_test.ts",
  "lib/bench/peers.ts": "tests/bench/training_peers_test.ts",
  "lib/bench/chat_load.ts": "tests/serve/load_test.ts",
  "lib/cli/bench_decoding.ts": "tests/cli/bench_test.ts",
  "lib/cli/bench_process.ts": "runs what tests/bench/memory_test.ts runs",
  "lib/bench/gpu_rates.ts": "tests/bench/kernels_test.ts",
  ...Object.fromEntries(
    "attention bits chat endurance features frozen kernels loading memory real_size rounds speed tree"
      .split(" ").map((name) => [`lib/cli/bench_${name}.ts`, "measures; its parts are tested"]),
  ),
  "lib/cli/bench_training.ts": "measures times; its parts are in tests/bench",
  "lib/bench/loading.ts": "tests/bench/real_target_test.ts",
  "lib/bench/peak.ts": "tests/bench/watched_test.ts",
  "lib/bench/peak_at_exit.ts": "tests/bench/watched_test.ts",
  "lib/cli/temporaries.ts": "tests/bench/plan_test.ts",
  "lib/decode/draft.ts": "tests/decode/tree_drafter_test.ts",
  "lib/decode/drafter.ts": "tests/decode/prompt_lookup_test.ts",
  "lib/decode/draw_children.ts": "tests/decode/lossless_sampled_test.ts",
  "lib/decode/sequence.ts": "tests/decode/generate_test.ts",
  "lib/decode/static_trees.ts": "tests/decode/growth_test.ts",
  "lib/cli/inspect_data.ts": "tests/cli/inspect_test.ts",
  "lib/cli/inspect_trace.ts": "tests/report/trace_page_test.ts",
  "lib/report/trace_viewer.ts": "tests/report/trace_page_test.ts",
  "lib/cli/decoding_options.ts": "tests/cli/command_test.ts",
  "lib/model/export_readme.ts": "tests/model/export_test.ts",
  "lib/cli/watch.ts":
    "tests/report/run_folder_test.ts and training_page_test.ts test what it shows",
  "lib/cli/watchers.ts": "tests/report/tensorboard_test.ts and mlflow_test.ts test what it opens",
  "lib/serve/page_api.ts": "tests/serve/server_test.ts",
  "lib/serve/page_files.ts": "tests/serve/server_test.ts",
  "lib/cli/data.ts": "tests/cli/errors_test.ts",
  "lib/report/html.ts": "tests/report/page_test.ts",
  "lib/cli/train.ts": "tests/cli/errors_test.ts",
};

Deno.test("tests: every file of lib has one of its name, or is listed with another", () => {
  const untested = LIB.filter((file) => {
    const own = file.replace(/^lib\//, "tests/").replace(/\.ts$/, "_test.ts");
    return !FILES.includes(own) && !(file in TESTED_ELSEWHERE);
  });
  assert.deepEqual(untested, []);
  for (const [file, instead] of Object.entries(TESTED_ELSEWHERE)) {
    assert.ok(FILES.includes(file), `${file} is listed and does not exist`);
    if (instead.endsWith(".ts")) assert.ok(FILES.includes(instead), `${instead} does not exist`);
  }
});

/** Hosts that texts may link to: papers, code, models, licences, documentation; this machine, and no machine. */
const HOSTS = [
  "127.0.0.1",
  "evil.example",
  "localhost",
  "arxiv.org",
  "deno.com",
  "deno.land",
  "docs.deno.com",
  "doi.org",
  "github.com",
  "huggingface.co",
  "onnxruntime.ai",
  "www.apache.org",
  "www.w3.org",
];

/** What no file may hold, and why. */
const FOREIGN: [why: string, pattern: RegExp][] = [
  ["an absolute path", /(?<![\w.)}-])\/(home|root|Users|tmp|work|mnt|opt|srv|workspace)\//],
  ["an absolute path", /(?<!\w)[A-Z]:\\\w/],
  ["a registry or mirror", /\b(registry|mirror|proxy|artifactory)\.[a-z0-9-]+\.[a-z]{2,}|\bjsr:/],
  [
    "where it was written",
    /\b(workplace|sub-?agents?|generated by an? (ai|llm))\b/i,
  ],
];

Deno.test("texts: nothing of the machine or the place where they were written", () => {
  const wrong: string[] = [];
  for (
    const file of FILES.filter((f) => TEXTS.test(f) && f !== SELF && !f.endsWith("tokenizer.json"))
  ) {
    text(file).split("\n").forEach((line, i) => {
      for (const [why, pattern] of FOREIGN) {
        if (pattern.test(line)) wrong.push(`${file}:${i + 1} holds ${why}: ${line.slice(0, 100)}`);
      }
      for (const [, host] of line.matchAll(/https?:\/\/([\w.-]+)/g)) {
        if (!HOSTS.includes(host)) wrong.push(`${file}:${i + 1} links to ${host}`);
      }
    });
  }
  assert.deepEqual(wrong, []);
});
