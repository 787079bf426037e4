/** One row of a bench in a process of its own, whose memory is then that row's: `bench WHAT --measure ROW`. */
import { join } from "node:path";

const TASK = join(import.meta.dirname!, "bench.ts");

/** A row measured in a process of its own: this task again, told to measure one thing. */
export async function measured<Row>(what: string, measure: string): Promise<Row> {
  const own = ["run", "--quiet", "--allow-read", "--allow-write", "--allow-env", "--allow-ffi"];
  const more = ["--allow-sys", "--allow-run", TASK, what, "--measure", measure];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...own, ...more, "--json"],
    stderr: "inherit",
  });
  const { stdout, success } = await child.output();
  if (!success) throw new Error(`Cannot measure ${measure} (${what})`);
  return JSON.parse(new TextDecoder().decode(stdout)).row;
}
