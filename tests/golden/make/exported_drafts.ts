/**
 * Writes the tiny exported folders that `export.py` reads: GRIFFIN's draft and FSPAD's, grouped key heads of a size
 * that ONNX Runtime's own attention takes, random weights, with the same code as `deno task export`. Run: deno run -A tests/golden/make/exported_drafts.ts
 */
import { join } from "node:path";
import { sizeOf } from "../../../lib/graph/node.ts";
import type { TargetConfig } from "../../../lib/model/config.ts";
import { exportDraft } from "../../../lib/model/export.ts";
import { random } from "../../../lib/random.ts";
import { TINY, tinyDraft, tinyDraftConfig } from "../../model/tiny.ts";

const CONFIG: TargetConfig = {
  ...TINY,
  width: 24,
  inner: 20,
  headSize: 16,
  vocabulary: 40,
  ropeTheta: 500,
};

function embedding(name: string): Float32Array {
  const from = random(21, name), size = sizeOf([CONFIG.vocabulary, CONFIG.width]);
  return Float32Array.from({ length: size }, () => 0.5 * from.normal());
}

for (const fusion of ["tgf", "fspad"] as const) {
  const name = fusion === "tgf" ? "export-griffin" : "export-fspad";
  const out = join(import.meta.dirname!, "../own", name);
  const draft = tinyDraft(tinyDraftConfig(CONFIG, { fusion, head: "dual" }), 20);
  const matrix = embedding(name);
  const shared = {
    folder: "tiny",
    config: CONFIG,
    identity: "tiny",
    embedding: matrix,
    head: matrix,
  };
  await exportDraft(out, { draft, shared });
}
