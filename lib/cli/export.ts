/** `deno task export`: a draft in the published form, for PyTorch code and ONNX runtimes. */
import { checkExportFolder, EXPORT_TYPES, exportDraft, readShared } from "../model/export.ts";
import { countParameters } from "../model/draft.ts";
import { readDraft } from "../model/load.ts";
import { runCommand } from "./command.ts";

await runCommand({
  name: "export",
  summary: "write a draft as a folder for the authors' PyTorch code",
  options: {
    draft: { type: "string", default: "data/draft", describe: "draft folder" },
    target: { type: "string", default: "data/target", describe: "target folder" },
    out: { type: "string", default: "runs/export", describe: "folder to write" },
    dtype: {
      type: "string",
      choices: Object.keys(EXPORT_TYPES),
      default: "f32",
      describe: "type of the numbers in model.safetensors",
    },
  },
}, async (options, { say, result }) => {
  const { out } = options, sources = [options.draft, options.target];
  checkExportFolder(out, { sources });
  const shared = await readShared(options.target);
  const draft = await readDraft(options.draft, { target: shared });
  const dtype = EXPORT_TYPES[options.dtype as keyof typeof EXPORT_TYPES];
  await exportDraft(out, { draft, shared, dtype, sources });
  const parameters = countParameters(draft.config);
  say(`${out}: ${(parameters / 1e6).toFixed(2)} M parameters and the target's embedding`);
  result({ out, target: shared.identity, parameters, dtype: options.dtype });
});
