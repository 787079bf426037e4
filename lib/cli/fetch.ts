/** `deno task fetch`: models of the hub into the cache, before other tasks use them by name, offline too. */
import { hubSettings } from "../hub/settings.ts";
import { fetchModel } from "../hub/model.ts";
import { formatName, modelNameOf } from "../hub/name.ts";
import { runCommand } from "./command.ts";
import { showDownload } from "./models.ts";

await runCommand({
  name: "fetch",
  summary: "download models of the hub into the cache that Python's huggingface_hub uses too",
  options: {
    models: {
      type: "string",
      many: true,
      positional: true,
      describe: "ORG/NAME, or ORG/NAME@REVISION with a branch, tag or commit",
    },
    texts: { type: "boolean", describe: "configuration and tokenizer only, no weights" },
  },
}, async ({ models, texts }, { say, result, signal }) => {
  if (models.length === 0) throw new Error("Cannot fetch nothing: wanted one ORG/NAME or more");
  const fetched: Record<string, string> = {}, settings = hubSettings();
  for (const given of models) {
    const name = modelNameOf(given);
    if (name === undefined) throw new Error(`Cannot fetch ${given}: wanted ORG/NAME[@REVISION]`);
    const events = fetchModel(name, { weights: !texts, settings, signal });
    const { folder, name: found, unreachable } = await showDownload(name, events);
    if (unreachable !== undefined) throw new Error(unreachable);
    say(`${formatName(found)}: ${folder}`);
    fetched[formatName(found)] = folder;
  }
  result(fetched);
});
