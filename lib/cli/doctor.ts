/** `deno task doctor`: what this machine offers; or what a checkpoint is, whether it is sound, and as a folder of ours. */
import { runCommand } from "./command.ts";
import { examineCheckpoint } from "./doctor_checkpoint.ts";
import { describeMachine } from "./doctor_machine.ts";

await runCommand({
  name: "doctor",
  summary:
    "without a word: show processor, GPU adapter, limits, features, and which backend is used; " +
    "with one: say what a checkpoint is, what is wrong with it, and convert drafts of other programs",
  options: {
    checkpoint: {
      type: "string",
      positional: true,
      describe:
        "a folder or a file of weights: a draft of EAGLE, HASS, FSPAD, GRIFFIN, SpecForge, " +
        "vLLM speculators, or of this project; or a target, a GGUF file too",
    },
    target: {
      type: "string",
      describe:
        "target, a folder, a GGUF file or ORG/NAME[@REVISION] of the hub: does the draft fit it, and has it " +
        "learnt anything since it began with it",
      model: "target",
    },
    convert: {
      type: "string",
      describe: "write the draft, or the target of a GGUF file, as a folder that all tasks read",
    },
    tensors: { type: "boolean", describe: "list all tensors" },
  },
}, async ({ checkpoint, target, convert, tensors }, io) => {
  if (checkpoint !== undefined) {
    await examineCheckpoint(checkpoint, { target, convert, tensors, io });
    return;
  }
  const given = Object.entries({ target, convert }).find(([, value]) => value !== undefined);
  if (given !== undefined) {
    throw new Error(`--${given[0]} is about a checkpoint: wanted its file or folder`);
  }
  await describeMachine(io);
});
