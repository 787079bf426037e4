/** Locks between processes, and what happens where there are none. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { lockFile } from "../../lib/hub/lock.ts";

const MODULE = new URL("../../lib/hub/lock.ts", import.meta.url).href;

Deno.test("lock: another process waits until it is let go, or is stopped", async () => {
  const folder = await Deno.makeTempDir(), path = join(folder, "a/b.lock");
  try {
    const held = await lockFile(path);
    assert.ok(held.alone);
    const code = `import { lockFile } from ${JSON.stringify(MODULE)};
      console.log("asks"); using lock = await lockFile(${
      JSON.stringify(path)
    }); console.log("has it");`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", "--no-check", code],
      stdout: "piped",
    }).spawn();
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await lines.read()).value, "asks\n");
    await assert.rejects(lockFile(path, AbortSignal.timeout(250)), { name: "AbortError" });
    const next = lines.read();
    const early = await Promise.race([next, new Promise((go) => setTimeout(go, 50, "waits"))]);
    assert.equal(early, "waits");
    held[Symbol.dispose]();
    assert.equal((await next).value, "has it\n");
    await lines.cancel();
    await child.status;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
