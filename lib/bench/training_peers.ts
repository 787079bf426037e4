/**
 * One training step here and elsewhere: the same model, batch and machine, timed in turn, after it has been shown
 * that all sides do the same work (loss and an updated parameter of the first step). Programs to time come from
 * `training.ts`, the other side from `peers.ts`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import type { Program } from "../graph/program.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../io/safetensors.ts";
import type { Peer } from "./peers.ts";
import { median } from "./timing.ts";
import { randomInputs } from "./training.ts";

/** Something to time on all sides. */
export interface TrainingJob {
  name: string;
  kind: "stack" | "griffin";
  /** What a peer builds its model from. */
  sizes: Record<string, unknown>;
  program: Program;
  /** The parameter that is compared after a step. */
  parameter: string;
}

/** Times of one side, milliseconds. */
export interface SideTiming {
  side: string;
  median: number;
  minimum: number;
}

/** One job on all sides; ours comes first. */
export interface JobTiming {
  name: string;
  timings: SideTiming[];
  /** Sides that cannot do this job, and why. */
  skipped: Record<string, string>;
}

/** Loss and parameter may differ by this much, relatively: sums of fp32 in another order. */
const SAME = 1e-3;

function checkSame(
  what: string,
  { found, wanted, side }: { found: ArrayLike<number>; wanted: ArrayLike<number>; side: string },
): void {
  let apart = 0, size = 0;
  for (let i = 0; i < wanted.length; i++) {
    apart = Math.max(apart, Math.abs(found[i] - wanted[i]));
    size = Math.max(size, Math.abs(wanted[i]));
  }
  if (found.length !== wanted.length || !(apart <= SAME * size)) {
    throw new Error(
      `Cannot compare with ${side}: ${what} differs by ${apart} of ${size}, so the work is not the same`,
    );
  }
}

/** Times one job in turn on all sides, each after the step that is compared and one more. */
export async function timeJob(
  { name, kind, sizes, program, parameter }: TrainingJob,
  { backend, peers, rounds }: { backend: Backend; peers: readonly Peer[]; rounds: number },
): Promise<JobTiming> {
  const folder = await mkdtemp(join(tmpdir(), "griffin-peers-"));
  try {
    const given = randomInputs(backend, program), inputs = join(folder, "inputs.safetensors");
    await writeSafetensors(
      inputs,
      Object.fromEntries(
        Object.entries(given).map(([n, { shape, host }]) =>
          [n, { shape, data: host!.slice() } as TensorToWrite] as const
        ),
      ),
    );
    using executable = await backend.compile(program);
    const ours = async () => {
      const before = performance.now(), { loss } = await executable.run(given);
      return { ms: performance.now() - before, loss: loss.host![0] };
    };
    const first = await ours(), updated = given[parameter].host!.slice();
    const skipped: Record<string, string> = {};
    const sides: { side: string; step: () => Promise<{ ms: number }> }[] = [
      { side: "ours", step: ours },
    ];
    for (const peer of peers) {
      const job = name, step = () => peer.ask({ op: "step", job }) as Promise<{ ms: number }>;
      try {
        await peer.ask({ op: "open", job, kind, sizes, inputs });
      } catch (cause) {
        skipped[peer.name] = (cause as Error).message.replace(/^.*: /, "");
        continue;
      }
      const { loss } = await peer.ask({ op: "step", job });
      checkSame("the loss", { found: [Number(loss)], wanted: [first.loss], side: peer.name });
      const path = join(folder, "updated.safetensors");
      await peer.ask({ op: "save", job, path, names: [parameter] });
      using file = openSafetensors(path);
      const found = file.readFloat32(parameter);
      checkSame(`parameter ${parameter}`, { found, wanted: updated, side: peer.name });
      sides.push({ side: peer.name, step });
    }
    const times = sides.map((): number[] => []);
    for (let round = 0; round <= rounds; round++) {
      for (const [i, { step }] of sides.entries()) {
        const { ms } = await step();
        if (round > 0) times[i].push(ms);
      }
    }
    for (const peer of peers) {
      if (!(peer.name in skipped)) await peer.ask({ op: "close", job: name });
    }
    for (const tensor of Object.values(given)) tensor[Symbol.dispose]();
    const timings = sides.map(({ side }, i) => ({
      side,
      median: median(times[i]),
      minimum: Math.min(...times[i]),
    }));
    return { name, timings, skipped };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
