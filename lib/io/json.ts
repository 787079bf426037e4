/**
 * JSON files that must hold an object: configurations, tokenizers, states of runs. What the object must
 * hold is checked where it is used, `lib/model/config.ts` for one.
 */
import { readFile } from "node:fs/promises";

/** An object as JSON knows it. */
export type Json = Record<string, unknown>;

/** Reads a JSON file. @throws naming the file when it is missing or not a JSON object. */
export async function readJson(path: string): Promise<Json> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    throw new Error(`Cannot read ${path}: no such file, wanted a JSON file`);
  }
  try {
    const value = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error();
    return value as Json;
  } catch {
    throw new Error(`Cannot read ${path}: found text that is not a JSON object`);
  }
}
