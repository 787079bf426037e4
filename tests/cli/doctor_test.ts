/** `deno task doctor` as a process: the machine, a checkpoint, its conversion, and damaged files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeSafetensors } from "../../lib/io/safetensors.ts";
import { readDraft, writeDraft } from "../../lib/model/load.ts";
import { FOREIGN, inTemporary, writeChanged } from "../model/foreign_drafts.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";
import { runTask, TARGET } from "./tasks.ts";

const doctor = (folder: string, ...args: string[]) => runTask(folder, { task: "doctor", args });

Deno.test("a foreign draft is told as a table and as JSON, and converted", async () => {
  await inTemporary(async (folder) => {
    const from = join(FOREIGN, "specforge");
    const { code, stdout, stderr } = await doctor(folder, from, "--tensors");
    assert.equal(code, 0, stderr);
    for (
      const part of [
        /kind +EAGLE-3 as SpecForge stores it/,
        /sizes +width 24, inner 20, heads 4, key heads 2, head size 8, vocabulary 40/,
        /reads layers +2, 4, 5/,
        /midlayer\.self_attn\.q_proj\.weight +BF16 +\[32,48\] +trained/,
        /no faults\nit can be converted/,
      ]
    ) assert.match(stdout, part);
    const told = await doctor(folder, from, "--convert", "mine", "--json");
    assert.equal(told.code, 0, told.stderr);
    const { kind, format, sound, converted, parameters, tensors } = JSON.parse(told.stdout);
    assert.deepEqual([kind, format, sound, converted], ["draft", "specForge", true, "mine"]);
    const { parameters: kept } = await readDraft(join(folder, "mine"));
    assert.equal(Object.values(kept).reduce((n, v) => n + v.length, 0), parameters);
    assert.equal(tensors.length, 16);
    const again = await doctor(folder, from, "--convert", "mine");
    assert.deepEqual([again.code, again.stderr.trim().split("\n").at(-1)], [
      1,
      "error: Cannot write mine: it is there, wanted a new folder",
    ]);
  });
});

Deno.test("the shipped draft fits the shipped target, and is sound", async () => {
  await inTemporary(async (folder) => {
    const { code, stdout, stderr } = await doctor(
      folder,
      join(TARGET, "../draft"),
      "--target",
      TARGET,
      "--json",
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /fits the target +\S+target [0-9a-f]{16}\n/);
    const { findings, sound, draft } = JSON.parse(stdout);
    assert.deepEqual([findings, sound, draft.fusion], [[], true, "tgf"]);
  });
});

Deno.test("what is wrong is told first; conversion is refused with the reasons", async () => {
  await inTemporary(async (folder) => {
    await writeChanged(folder, "hass", {
      tensors: {
        "layers.0.self_attn.o_proj.bias": { shape: [24], data: new Float32Array(24).fill(0.5) },
      },
    });
    const { code, stdout } = await doctor(folder, ".");
    assert.equal(code, 0);
    assert.match(
      stdout,
      /fault +layers\.0\.self_attn\.o_proj\.bias +is superfluous: a bias of attention's output/,
    );
    assert.match(stdout, /it cannot be used as it is, 1 doubt\nit cannot be converted: layers\.0/);
    const { code: refused, stderr } = await doctor(folder, ".", "--convert", "out");
    assert.equal(refused, 1);
    assert.match(
      stderr,
      /error: Cannot convert model\.safetensors: layers\.0\.self_attn\.o_proj\.bias is superf/,
    );
    await assert.rejects(Deno.stat(join(folder, "out")), Deno.errors.NotFound);
  });
});

Deno.test("a target in GGUF is told and converted; a header without layers is neither", async () => {
  await inTemporary(async (folder) => {
    const from = join(FOREIGN, "../gguf/llama-2.gguf");
    const { code, stdout, stderr } = await doctor(folder, from, "--convert", "target", "--json");
    assert.equal(code, 0, stderr);
    assert.match(stderr, /put the original model's tokenizer\.json/);
    const { kind, dtypes, converted } = JSON.parse(stdout);
    assert.deepEqual([kind, dtypes.Q8_0.tensors, converted], ["target", 14, "target"]);
    const again = await doctor(folder, "target", "--json");
    assert.deepEqual(JSON.parse(again.stdout).findings, []);
    const none = await doctor(folder, join(FOREIGN, "../gguf/angles-other.gguf"));
    assert.match(none.stdout, /neither a known draft nor a target/);
  });
});

Deno.test("a target to compare with may be a GGUF file, to which a converted draft is not tied", async () => {
  await inTemporary(async (folder) => {
    const config = { ...tinyDraftConfig(), vocabulary: 64, target: undefined };
    await writeDraft(folder, tinyDraft(config));
    const target = join(FOREIGN, "../gguf/llama-2.gguf");
    const { code, stdout, stderr } = await doctor(
      folder,
      ...[".", "--target", target, "--convert", "out", "--json"],
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /fits the target +\S+llama-2\.gguf *\n/);
    assert.match(stderr, /out: it is tied to no target, since no task reads \S+llama-2\.gguf/);
    assert.ok(JSON.parse(stdout).sound);
    assert.equal((await readDraft(join(folder, "out"))).config.target, undefined);
    const none = join(FOREIGN, "../gguf/angles-other.gguf");
    const refused = await doctor(folder, ".", "--target", none);
    assert.match(refused.stderr, /^error: Cannot use .*angles-other\.gguf: /);
    const empty = await doctor(folder, ".", "--target", "nowhere");
    assert.match(empty.stderr, /^error: Cannot read nowhere: no such file or folder/);
  });
});

Deno.test("damaged files are one line: cut short, 8-bit floats, a missing shard, a pickle that asks for more", async () => {
  await inTemporary(async (folder) => {
    const path = join(folder, "model.safetensors"), data = new Float32Array(8);
    await writeSafetensors(path, { "fc.weight": { shape: [2, 4], data } });
    const bytes = await Deno.readFile(path);
    await Deno.writeFile(join(folder, "cut.safetensors"), bytes.subarray(0, bytes.length - 4));
    const entry = { dtype: "F8_E4M3", shape: [8], data_offsets: [0, 8] };
    const header = new TextEncoder().encode(JSON.stringify({ "fc.weight": entry }));
    const eight = new Uint8Array([
      header.length,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      ...header,
      ...new Uint8Array(8),
    ]);
    await Deno.writeFile(join(folder, "eight.safetensors"), eight);
    const lost = join(folder, "lost");
    await Deno.mkdir(lost);
    const weight_map = { "fc.weight": "model-00002-of-00002.safetensors" };
    await Deno.writeTextFile(
      join(lost, "model.safetensors.index.json"),
      JSON.stringify({ weight_map }),
    );
    const cases: [file: string, error: RegExp][] = [
      [
        "cut.safetensors",
        /^error: Cannot read cut\.safetensors: it has \d+ bytes, its header describes \d+/,
      ],
      [
        "eight.safetensors",
        /^error: Cannot read eight\.safetensors: tensor fc\.weight has type F8_E4M3, wanted/,
      ],
      ["lost", /^error: Cannot read lost.model-00002-of-00002\.safetensors: no such file/],
      [
        join(FOREIGN, "../torch/evil-system.bin"),
        /^error: Cannot read .*evil-system\.bin: .*system/,
      ],
      ["nowhere", /^error: Cannot read nowhere: no such file or folder/],
    ];
    for (const [file, error] of cases) {
      const { code, stderr } = await doctor(folder, file);
      assert.equal(code, 1);
      assert.match(stderr, error);
      assert.equal(stderr.trim().split("\n").length, 1, stderr);
    }
  });
});

Deno.test("without a checkpoint the machine is shown; options about one are refused", async () => {
  await inTemporary(async (folder) => {
    const { code, stdout, stderr } = await doctor(folder, "--json");
    assert.equal(code, 0, stderr);
    const { machine, auto } = JSON.parse(stdout);
    assert.equal(machine.deno, Deno.version.deno);
    assert.ok(["cpu", "webgpu"].includes(auto.kind));
    const refused = await doctor(folder, "--convert", "out");
    assert.match(
      refused.stderr,
      /error: --convert is about a checkpoint: wanted its file or folder/,
    );
  });
});
