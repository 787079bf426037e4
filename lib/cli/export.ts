/** `deno task export`: a draft in the published form, for PyTorch code and ONNX runtimes. */
import { embedModel } from "../backend/onnx/export.ts";
import { checkExportFolder, EXPORT_TYPES, exportDraft, readShared } from "../model/export.ts";
import { countParameters } from "../model/draft.ts";
import { draftModels } from "../model/export_onnx.ts";
import { readDraft } from "../model/load.ts";
import { runCommand } from "./command.ts";
import { DRAFT_OPTION, TARGET_OPTION } from "./models.ts";

await runCommand({
  name: "export",
  summary: "write a draft as a folder for the authors' PyTorch code",
  options: {
    draft: DRAFT_OPTION,
    target: TARGET_OPTION,
    out: { type: "string", default: "runs/export", describe: "folder to write" },
    dtype: {
      type: "string",
      choices: Object.keys(EXPORT_TYPES),
      default: "f32",
      describe: "type of the numbers in model.safetensors; f16 also for matrices of ONNX models",
    },
    onnx: { type: "boolean", describe: "add the drafting step as an ONNX model, weights inside" },
    fused: {
      type: "boolean",
      describe: "let ONNX models use ONNX Runtime's own operators: quicker, and run nowhere else",
    },
    rows: { type: "integer", minimum: 1, default: 16, describe: "rows of a call of ONNX models" },
    capacity: {
      type: "integer",
      minimum: 2,
      describe: "cache rows of ONNX models [positions of the draft, at most 2048]",
    },
    width: { type: "integer", minimum: 1, default: 10, describe: "tokens given for each row" },
  },
}, async (options, { say, result }) => {
  const { out } = options, sources = [options.draft, options.target];
  checkExportFolder(out, { sources });
  const shared = await readShared(options.target);
  const draft = await readDraft(options.draft, { target: shared });
  const dtype = EXPORT_TYPES[options.dtype as keyof typeof EXPORT_TYPES];
  const { rows, capacity, width, fused } = options, half = dtype === "F16";
  const onnx = options.onnx
    ? draftModels({ draft, shared }, { embed: embedModel, rows, capacity, width, fused, half })
    : undefined;
  await exportDraft(out, { draft, shared, dtype, onnx, sources });
  const parameters = countParameters(draft.config);
  say(`${out}: ${(parameters / 1e6).toFixed(2)} M parameters and the target's embedding`);
  for (const [file, bytes] of Object.entries(onnx?.models ?? {})) {
    say(`${out}/${file}: ${(bytes.length / 1e6).toFixed(1)} MB`);
  }
  result({
    out,
    target: shared.identity,
    parameters,
    dtype: options.dtype,
    onnx: Object.keys(onnx?.models ?? {}),
  });
});
