/** `deno task chat` as a process with its task's own permissions: it says where it is, answers, and stops by Ctrl-C. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { inFolder, randomDraft, ROOT, runTask } from "./tasks.ts";

/** The permissions that deno.json gives the task. */
function permissions(): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(join(ROOT, "deno.json")));
  return (tasks.chat.command as string).split(" ").filter((word) => word.startsWith("--allow"));
}

Deno.test("chat: least permissions suffice to serve the page and OpenAI's API", async () => {
  assert.ok(permissions().length > 3 && !permissions().includes("--allow-net"));
  await inFolder(async (folder) => {
    await randomDraft(folder);
    const own = ["run", "--quiet", "--no-prompt", "--config", join(ROOT, "deno.json")];
    const args = ["--port", "0", "--draft", "draft", "--tree", "4/2/2", "--json"];
    const child = new Deno.Command(Deno.execPath(), {
      args: [...own, ...permissions(), join(ROOT, "lib/cli/chat.ts"), ...args],
      cwd: folder,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const stderr = new Response(child.stderr).text();
    let said = "";
    const lines = child.stdout.pipeThrough(new TextDecoderStream());
    for await (const part of lines.values({ preventCancel: true })) {
      said += part;
      if (said.includes("\n")) break;
    }
    try {
      const { address, model } = JSON.parse(said);
      assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/$/);
      const page = await (await fetch(address)).text();
      assert.match(page, /^<!doctype html>/);
      const answer = await fetch(`${address}v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          model,
          messages: [{ role: "user", content: "Ada has 3 pens and buys 4. How many?" }],
          max_tokens: 6,
        }),
      });
      const { usage, speculation } = await answer.json();
      assert.deepEqual([model, usage.completion_tokens, speculation.tree], ["target", 6, "4/2/2"]);
      assert.ok(speculation.drafted > 0);
    } finally {
      child.kill("SIGINT");
    }
    await lines.cancel();
    const { code } = await child.status;
    assert.equal(code, 130, await stderr);
    assert.match(await stderr, /the chat page/);
  });
});

Deno.test("chat: a tree that cannot be drafted is refused before anything is opened", async () => {
  await inFolder(async (folder) => {
    const args = ["--tree", "static:medusa", "--target", "nowhere"];
    const { code, stderr } = await runTask(folder, { task: "chat", args });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^error: --tree: found the tree static:medusa, wanted auto or NODES\/DEPTH\/WIDTH\n$/,
    );
  });
});
