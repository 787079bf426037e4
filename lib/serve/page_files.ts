/**
 * The files of the chat page, read once: plain HTML, CSS and ES modules from `page/`, and the placement of trees, which
 * is the same code that draws reports. No other file can be asked for. Served by `server.ts`.
 */
import { readFile } from "node:fs/promises";
import { DRAWING_SOURCE } from "../report/tree_drawing.ts";

const HTML = "text/html; charset=utf-8", CSS = "text/css; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8", SVG = "image/svg+xml";

const NAMES: Record<string, string> = {
  "index.html": HTML,
  "style.css": CSS,
  "panels.css": CSS,
  "icon.svg": SVG,
  "main.js": SCRIPT,
  "conversations.js": SCRIPT,
  "client.js": SCRIPT,
  "answer.js": SCRIPT,
  "messages.js": SCRIPT,
  "numbers.js": SCRIPT,
  "rounds.js": SCRIPT,
  "controls.js": SCRIPT,
  "elements.js": SCRIPT,
};

export interface PageFile {
  type: string;
  text: string;
}

/** All files by their path in the address, `/` for the page itself. @throws when one is missing. */
export async function readPageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  const files = new Map<string, PageFile>();
  for (const [name, type] of Object.entries(NAMES)) {
    const text = await readFile(new URL(`page/${name}`, import.meta.url), "utf8");
    files.set(name === "index.html" ? "/" : `/${name}`, { type, text });
  }
  const drawing = `${DRAWING_SOURCE}\nexport { fates, placeNodes, visibleText };\n`;
  files.set("/drawing.js", { type: SCRIPT, text: drawing });
  return files;
}
