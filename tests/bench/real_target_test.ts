/** Random targets of published shapes: whole folders that load, of the size that they claim. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { measureLoading } from "../../lib/bench/loading.ts";
import { countTarget } from "../../lib/bench/plan.ts";
import { REAL_SHAPES, writeRandomTarget } from "../../lib/bench/real_target.ts";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { readTargetConfig } from "../../lib/model/config.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

const SMALL = {
  ...REAL_SHAPES["tinyllama-1.1b"],
  ...{ hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, vocab_size: 4200 },
};

async function inTemporary(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the shapes have the parameters that their names say", async () => {
  const wanted = [1_100_048_384, 1_235_814_400, 1_543_714_304];
  await inTemporary(async (folder) => {
    for (const [i, json] of Object.values(REAL_SHAPES).entries()) {
      await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(json));
      assert.equal(countTarget(await readTargetConfig(folder)), wanted[i]);
    }
  });
});

Deno.test("a random target is written in shards, loads in 32 and 8 bits, and its tokenizer knows every id", () =>
  inTemporary(async (temporary) => {
    const folder = join(temporary, "target"), seen: number[][] = [];
    const onShard = (...at: number[]) => void seen.push(at);
    const options = { json: SMALL, texts: "data/target", shardBytes: 300_000 };
    await writeRandomTarget(folder, { ...options, onShard });
    assert.ok(
      seen.length > 1 && seen.every(([done, total], i) => done === i + 1 && total === seen.length),
    );
    using file = openCheckpoint(folder);
    const deviation = (name: string) => {
      const values = file.readFloat32(name), n = values.length;
      return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / n);
    };
    assert.ok(Math.abs(deviation("model.layers.0.self_attn.q_proj.weight") * 8 - 1) < 0.05);
    assert.ok(
      Math.abs(deviation("model.layers.1.mlp.down_proj.weight") * 96 ** 0.5 * 2 - 1) < 0.05,
    );
    assert.equal(deviation("model.norm.weight"), 1);
    const tokenizer = await loadTokenizer(folder);
    assert.equal(tokenizer.decode([4199]), "<unused-4199>");
    using backend = await openOnnxBackend();
    const config = await readTargetConfig(folder), files = 2 * countTarget(config);
    for (const bits of [32, 8] as const) {
      const row = await measureLoading(backend, { folder, bits, context: 128 });
      assert.ok(row.fileBytes > files && row.fileBytes < 1.1 * files);
      assert.equal(row.largestBytes, 4 * 4200 * 64);
      assert.ok(bits === 8 ? row.heldBytes < 1.4 * files : row.heldBytes === 2 * files);
      assert.ok(row.runPeak >= row.loadPeak && row.loadMs > 0);
    }
  }));

Deno.test("a vocabulary smaller than the tokenizer is refused, and nothing is left", () =>
  inTemporary(async (temporary) => {
    const folder = join(temporary, "target"), json = { ...SMALL, vocab_size: 100 };
    await assert.rejects(
      writeRandomTarget(folder, { json, texts: "data/target" }),
      /Cannot pad the tokenizer of data\/target to 100 tokens: it has 4096/,
    );
    assert.deepEqual([...Deno.readDirSync(temporary)], []);
  }));
