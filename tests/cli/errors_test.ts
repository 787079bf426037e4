/**
 * Real tasks with bad input, as processes: one line on standard error, exit code 1, nothing left behind.
 * Ranges of options are tested without processes in `command_test.ts`.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openShardWriter } from "../../lib/data/features.ts";
import { inFolder, randomDraft, ROOT, runTask, TARGET } from "./tasks.ts";

/** Runs a task in `folder`; wants one line of error that matches, and no folder `out`. */
async function refuses(
  folder: string,
  { task, args, error }: { task: string; args: string[]; error: RegExp },
): Promise<void> {
  const { code, stderr } = await runTask(folder, { task, args: [...args, "--out", "out"] });
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^error: [^\n]+\n$/);
  assert.match(stderr, error);
  assert.ok(
    !stderr.includes(ROOT) && !stderr.includes(folder),
    `a path of this machine: ${stderr}`,
  );
  await assert.rejects(Deno.stat(join(folder, "out")), Deno.errors.NotFound);
}

/** A copy of the target in `folder/changed`, with another configuration or less of its weights. */
async function changedTarget(
  folder: string,
  { config = {}, bytes }: { config?: Record<string, unknown>; bytes?: number },
): Promise<void> {
  const changed = join(folder, "changed");
  await Deno.mkdir(changed);
  for await (const { name } of Deno.readDir(TARGET)) {
    await Deno.symlink(join(TARGET, name), join(changed, name));
  }
  const json = JSON.parse(await Deno.readTextFile(join(TARGET, "config.json")));
  await Deno.remove(join(changed, "config.json"));
  await Deno.writeTextFile(join(changed, "config.json"), JSON.stringify({ ...json, ...config }));
  if (bytes === undefined) return;
  using file = await Deno.open(join(TARGET, "model.safetensors"));
  const start = new Uint8Array(bytes);
  await file.read(start);
  await Deno.remove(join(changed, "model.safetensors"));
  await Deno.writeFile(join(changed, "model.safetensors"), start);
}

Deno.test("an unknown option points to the help", async () => {
  await inFolder((folder) =>
    refuses(folder, {
      task: "train",
      args: ["--epoch", "3"],
      error: /Unknown option '--epoch'; see deno task train --help/,
    })
  );
});

Deno.test("a missing target folder is named", async () => {
  await inFolder((folder) =>
    refuses(folder, {
      task: "data",
      args: ["--target", "nowhere"],
      error: /Cannot read nowhere.config\.json: no such file/,
    })
  );
});

Deno.test("truncated weights are named, with both sizes", async () => {
  await inFolder(async (folder) => {
    await changedTarget(folder, { bytes: 100_000 });
    await refuses(folder, {
      task: "demo",
      args: ["--target", "changed"],
      error:
        /Cannot read changed.model\.safetensors: it has 100000 bytes, its header describes \d+/,
    });
  });
});

Deno.test("an unknown architecture is named", async () => {
  await inFolder(async (folder) => {
    await changedTarget(folder, { config: { architectures: ["OtherForCausalLM"] } });
    await refuses(folder, {
      task: "eval",
      args: ["--target", "changed"],
      error: /architecture is OtherForCausalLM, wanted LlamaForCausalLM/,
    });
  });
});

Deno.test("a configuration that contradicts the weights is named", async () => {
  await inFolder(async (folder) => {
    await changedTarget(folder, { config: { intermediate_size: 1024 } });
    await refuses(folder, {
      task: "demo",
      args: ["--target", "changed"],
      error:
        /Cannot use changed.model\.safetensors: .*mlp\.\w+_proj.* is \[1408,512\].*\[1024,512\]/,
    });
  });
});

Deno.test("a missing draft, and one made for another target, are named", async () => {
  await inFolder(async (folder) => {
    await refuses(folder, {
      task: "demo",
      args: ["--draft", "draft"],
      error: /Cannot read a draft from draft: it has no config\.json/,
    });
    await randomDraft(folder, { target: "0123456789abcdef" });
    await refuses(folder, {
      task: "eval",
      args: ["--draft", "draft"],
      error:
        /Cannot use draft draft with target .*it was trained for target 0123456789abcdef, this is/,
    });
  });
});

Deno.test("rounds on the device with what needs the host are refused", async () => {
  await inFolder(async (folder) => {
    await randomDraft(folder);
    const args = ["--rounds", "device", "--draft", "draft"];
    for (
      const [more, obstacle] of [
        [["--method", "lookup"], "--method lookup"],
        [["--tree", "static:eagle1"], "a tree that is not dynamic and of fixed size"],
        [["--tree", "8/3/2", "--temperature", "1", "--top-p", "0.9"], "--top-p without --top-k"],
      ] as const
    ) {
      await refuses(folder, {
        task: "eval",
        args: [...args, ...more],
        error: new RegExp(`Cannot run rounds on the device with ${obstacle}.*wanted --rounds host`),
      });
    }
  });
});

Deno.test("an empty question file, and one with a question that is too long, are named", async () => {
  await inFolder(async (folder) => {
    const write = (text: string) => Deno.writeTextFile(join(folder, "file.jsonl"), text);
    await write("\n");
    const args = ["--suite", "file.jsonl", "--draft", "draft"];
    await refuses(folder, {
      task: "eval",
      args,
      error: /Cannot evaluate on file\.jsonl: it holds no questions/,
    });
    await randomDraft(folder);
    await write(`${JSON.stringify({ question_id: 7, turns: ["many words ".repeat(3000)] })}\n`);
    await refuses(folder, {
      task: "eval",
      args,
      error: /Cannot ask question 7 of suite file: it has \d+ tokens, .* knows 2048 positions/,
    });
  });
});

Deno.test("training data of another target are refused, and no run is begun", async () => {
  await inFolder(async (folder) => {
    const shards = join(folder, "shards/train");
    const target = "fedcba9876543210";
    const of = { target, width: 512, taps: [], storage: "f16" } as const;
    const writer = await openShardWriter(shards, { of });
    await writer.append({
      id: "a",
      ids: new Int32Array(8),
      mask: new Uint8Array(8).fill(1),
      features: new Float32Array(8 * 512),
      tapped: new Float32Array(0),
    });
    await writer.flush();
    await refuses(folder, {
      task: "train",
      args: ["--data", "shards", "--inner", "16"],
      error: /Cannot train on features of target fedcba9876543210: this target is [0-9a-f]{16}/,
    });
  });
});

Deno.test("frozen matrices in f16 are refused where the target runs, with the reason", async () => {
  const ways: [args: string[], what: string][] = [
    [["--features", "online"], "--features online"],
    [["--tau-prompts", "3"], "--tau-prompts 3"],
  ];
  await inFolder(async (folder) => {
    for (const [args, what] of ways) {
      await refuses(folder, {
        task: "train",
        args: ["--frozen", "f16", ...args],
        error: new RegExp(`Cannot train with --frozen f16 and ${what}: the target then runs`),
      });
    }
  });
});

Deno.test("taps that are no layers, and a folder without shards to convert, are named", async () => {
  await inFolder(async (folder) => {
    await refuses(folder, {
      task: "data",
      args: ["--taps", "2,x"],
      error: /--taps is 2,x, wanted layers with commas, as in 2,4,5/,
    });
    await refuses(folder, {
      task: "data",
      args: ["--convert", "nowhere", "--storage", "i8"],
      error: /Cannot convert nowhere: it holds no \.arrow shards/,
    });
  });
});

Deno.test("a draft of another target is not exported, and no folder in use is written over", async () => {
  await inFolder(async (folder) => {
    await randomDraft(folder, { target: "0123456789abcdef" });
    await refuses(folder, {
      task: "export",
      args: ["--draft", "draft"],
      error: /Cannot use draft draft with target .*it was trained for target 0123456789abcdef/,
    });
    const { code, stderr } = await runTask(folder, {
      task: "export",
      args: ["--draft", "draft", "--out", "data"],
    });
    assert.equal(code, 1);
    assert.match(stderr, /^error: Cannot export to data: it holds target, wanted a new or empty/);
    await Deno.stat(join(folder, "data/target/config.json"));
  });
});
