/** `deno task notebooks`: runs, checks, strips or renders notebooks headless, with the Deno kernel. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { checkNotebook } from "../notebook/check.ts";
import {
  type Notebook,
  readNotebook,
  strip,
  withParameters,
  writeNotebook,
} from "../notebook/document.ts";
import { notebookHtml } from "../notebook/html.ts";
import { runNotebook } from "../notebook/run.ts";
import { type Io, runCommand } from "./command.ts";
import { Progress } from "./progress.ts";

/** The notebooks that a path names: a file, or all of a folder in order. @throws when there is none. */
function notebooksOf(path: string): string[] {
  if (!existsSync(path)) {
    throw new Error(`Cannot find notebooks in ${path}: no such file or folder`);
  }
  if (statSync(path).isFile()) return [path];
  const names = readdirSync(path).filter((name) => name.endsWith(".ipynb")).sort();
  if (names.length === 0) throw new Error(`Cannot find notebooks in ${path}: it holds no .ipynb`);
  return names.map((name) => join(path, name));
}

/** `passes=2` by name. */
function parametersOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(given.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new Error(`-p has ${pair}, wanted NAME=VALUE`);
    return [pair.slice(0, at).trim(), pair.slice(at + 1)];
  }));
}

async function run(
  notebook: Notebook,
  { path, timeout, signal }: { path: string; timeout: number } & Pick<Io, "signal">,
): Promise<{ notebook: Notebook; ms: number } | undefined> {
  using progress = new Progress(basename(path));
  for await (const event of runNotebook(notebook, { path: resolve(path), timeout, signal })) {
    if (event.type === "cell") progress.update(event.index, { total: event.total });
    else if (event.type === "finished") return event;
    else {
      const place = event.line === undefined ? "" : `, line ${event.line}`;
      throw new Error(`${path}, cell ${event.index + 1}${place}: ${event.message}`);
    }
  }
  return undefined; // stopped
}

await runCommand({
  name: "notebooks",
  summary: "run notebooks headless; stops at the first error with cell and line",
  options: {
    path: {
      type: "string",
      positional: true,
      default: "notebooks",
      describe: "a notebook, or a folder of them",
    },
    parameter: {
      type: "string",
      many: true,
      short: "p",
      describe: "NAME=VALUE of a parameter, once for each",
    },
    ci: { type: "boolean", describe: "set each notebook's parameter quick to true" },
    check: { type: "boolean", describe: "type-check and lint the cells, run nothing" },
    strip: { type: "boolean", describe: "remove all outputs, run nothing" },
    write: { type: "boolean", describe: "keep the outputs in the notebook" },
    html: { type: "string", describe: "also render each as a page into this folder" },
    timeout: { type: "number", minimum: 1, default: 600, describe: "seconds a cell may take" },
  },
}, async (options, { say, result, signal }) => {
  const rows: { notebook: string; seconds?: number }[] = [];
  const given = { ...parametersOf(options.parameter), ...(options.ci && { quick: "true" }) };
  for (const path of notebooksOf(options.path)) {
    const read = await readNotebook(path);
    if (options.strip) {
      await writeNotebook(path, strip(read));
      rows.push({ notebook: path });
      continue;
    }
    const problem = await checkNotebook(read, path);
    if (problem !== undefined) {
      console.error(problem);
      throw new Error(`${path} does not pass its check`);
    }
    if (options.check) {
      say(`${path}: checked`);
      rows.push({ notebook: path });
      continue;
    }
    const timeout = options.timeout * 1000;
    const done = await run(withParameters(read, given, { path }), { path, timeout, signal });
    if (done === undefined) return;
    const seconds = done.ms / 1000, name = basename(path, ".ipynb");
    say(`${path}: ${seconds.toFixed(1)} s`);
    rows.push({ notebook: path, seconds });
    if (options.write) await writeNotebook(path, done.notebook);
    if (options.html === undefined) continue;
    await Deno.mkdir(options.html, { recursive: true });
    const page = join(options.html, `${name}.html`);
    await writeFileAtomic(page, notebookHtml(done.notebook, { title: name }));
    say(`${page}`);
  }
  result({ folder: dirname(rows[0]?.notebook ?? options.path), notebooks: rows });
});
