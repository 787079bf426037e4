/**
 * Runs that are killed, and a disk that is full: whatever happens, the last complete checkpoint is there, nothing
 * half-written counts, and the run goes on to the bits of one that nobody disturbed.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { TextLineStream } from "../../lib/bench/lines.ts";
import { random } from "../../lib/random.ts";
import { loadCheckpoint } from "../../lib/train/checkpoint.ts";

const CHILD = join(import.meta.dirname!, "kill_run.ts"), CONFIG = join(CHILD, "../../../deno.json");
const ARGS = ["run", "-A", "--quiet", "--no-check", "--config", CONFIG, CHILD];
const PARTS = ["config.json", "model.safetensors", "optimizer.safetensors", "state.json"];

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs the child, killing it with SIGKILL once it has said `update n`; tells whether it came to its end. */
async function runUntil(folder: string, update = Infinity): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...ARGS, folder],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    const step = Number(/^update (\d+)/.exec(line)?.[1]);
    if (step >= update) {
      try {
        child.kill("SIGKILL");
      } catch {
        // it ended by itself meanwhile
      }
    }
  }
  return (await child.status).success;
}

/** Every complete-looking checkpoint is complete, and there are at most two. */
async function checkFolder(folder: string): Promise<void> {
  const checkpoints = join(folder, "step-1/checkpoints");
  const names = await readdir(checkpoints).catch(() => [] as string[]);
  const whole = names.filter((n) => n.startsWith("update-") && !n.endsWith(".partial"));
  assert.ok(whole.length <= 2, `found ${names}`);
  for (const name of whole) {
    assert.deepEqual((await readdir(join(checkpoints, name))).sort(), PARTS, name);
  }
}

async function hashOf(path: string): Promise<string> {
  return createHash("sha256").update(await readFile(path)).digest("hex");
}

/** What a finished run has made: the kept draft, the optimiser's last state, the best draft. */
async function resultOf(folder: string): Promise<Record<string, string>> {
  const step = join(folder, "step-1"), checkpoints = join(step, "checkpoints");
  const names = (await readdir(checkpoints)).filter((n) => !n.endsWith(".partial")).sort();
  const last = names.findLast((n) => n.startsWith("update-"))!;
  const best = names.filter((n) => n.startsWith("best-"));
  assert.equal(best.length, 1);
  return {
    draft: await hashOf(join(step, "draft/model.safetensors")),
    [last]: await hashOf(join(checkpoints, last, "optimizer.safetensors")),
    [best[0]]: await hashOf(join(checkpoints, best[0], "model.safetensors")),
  };
}

Deno.test("killed ten times at random updates, a run ends with the bits of one left alone", () =>
  inFolder(async (folder) => {
    const whole = join(folder, "whole"), broken = join(folder, "broken");
    assert.ok(await runUntil(whole));
    const from = random(17, "kills");
    let kills = 0, ended = false;
    for (let at = 1; !ended; at += 1 + from.integer(3)) {
      // After the tenth kill it may run to its end; an update that was lost is made again.
      ended = await runUntil(broken, kills < 10 ? Math.min(at, 20) : Infinity);
      if (!ended) kills++;
      await checkFolder(broken);
      assert.ok(kills <= 10, `killed ${kills} times`);
    }
    assert.equal(kills, 10);
    assert.deepEqual(await resultOf(broken), await resultOf(whole));
  }));

Deno.test("a full disk is one error; the last checkpoint stays and the run goes on from it", {
  ignore: Deno.build.os === "windows",
}, () =>
  inFolder(async (folder) => {
    const whole = join(folder, "whole"), full = join(folder, "full");
    assert.ok(await runUntil(whole));
    await runUntil(full, 7);
    const before = await loadCheckpoint(join(full, "step-1/checkpoints"));
    assert.ok(before !== undefined && before.step >= 3);
    // No file may grow beyond 24 blocks: what is smaller is written, weights are not.
    const command = `trap '' XFSZ; ulimit -f 24; exec "$0" "$@"`;
    const { code, stderr } = await new Deno.Command("bash", {
      args: ["-c", command, Deno.execPath(), ...ARGS, full],
      stdin: "null",
      env: { DENO_NO_UPDATE_CHECK: "1" },
    }).output();
    const said = new TextDecoder().decode(stderr);
    assert.equal(code, 1, said);
    assert.match(said, /error: Cannot write .*checkpoints\/(update|best)-\d+.*/);
    await checkFolder(full);
    const after = await loadCheckpoint(join(full, "step-1/checkpoints"));
    assert.equal(after!.step, before.step);
    assert.ok(await runUntil(full));
    assert.deepEqual(await resultOf(full), await resultOf(whole));
  }));
