/**
 * Heads of Python functions of our own making: a signature and a docstring, put together from verbs, objects
 * and arguments, in the style of documented library code. `prompts.ts` asks for their completion.
 */
import type { Random } from "../random.ts";

/** Verb, how its docstring begins, and whether it changes something. */
const VERBS: [verb: string, sentence: string][] = [
  ["get", "Return"],
  ["set", "Set"],
  ["add", "Add"],
  ["remove", "Remove"],
  ["find", "Find and return"],
  ["read", "Read and return"],
  ["write", "Write"],
  ["parse", "Parse"],
  ["format", "Format"],
  ["count", "Return the number of entries in"],
  ["check", "Check"],
  ["open", "Open"],
  ["close", "Close"],
  ["copy", "Return a copy of"],
  ["clear", "Clear"],
  ["update", "Update"],
  ["load", "Load"],
  ["dump", "Write out"],
  ["split", "Split"],
  ["join", "Join"],
  ["sort", "Sort"],
  ["encode", "Encode"],
  ["decode", "Decode"],
  ["register", "Register"],
  ["lookup", "Look up"],
  ["is_valid", "Return True if"],
];
const OBJECTS: [object: string, argument: string][] = [
  ["header", "name"],
  ["line", "lineno"],
  ["path", "path"],
  ["file", "filename"],
  ["item", "index"],
  ["value", "key"],
  ["option", "option"],
  ["message", "msg"],
  ["node", "node"],
  ["child", "child"],
  ["token", "token"],
  ["field", "field"],
  ["section", "section"],
  ["buffer", "size"],
  ["record", "record"],
  ["handler", "handler"],
  ["parser", "text"],
  ["socket", "address"],
  ["response", "code"],
  ["cookie", "cookie"],
  ["module", "modname"],
  ["thread", "timeout"],
  ["queue", "item"],
  ["event", "event"],
  ["frame", "frame"],
  ["color", "color"],
  ["widget", "widget"],
  ["date", "date"],
  ["number", "number"],
  ["string", "s"],
];
const EXTRAS = ["", "", ", default=None", ", encoding='utf-8'", ", timeout=None", ", strict=False"];
const DETAILS: ((argument: string) => string)[] = [
  () => "",
  (a) => ` for the given ${a}`,
  (a) => ` with ${a}`,
  () => " of this object",
  (a) => ` if ${a} is not None`,
  () => " from the list",
  (a) => ` named by ${a}`,
  () => " as a string",
];
const NOTES: ((argument: string) => string)[] = [
  () => "",
  () => "",
  (a) => `Raise ValueError if ${a} is not found.`,
  (a) => `If ${a} is None, the default is used.`,
  () => "The result is cached.",
  (a) => `The argument ${a} must be a string.`,
];

/** A function head: `def name(arguments):` and its docstring, indented by four blanks. */
export function functionHead(from: Random): string {
  const [verb, sentence] = from.choose(VERBS), [object, argument] = from.choose(OBJECTS);
  const method = from.uniform() < 0.6, extra = from.choose(EXTRAS);
  const prefix = from.uniform() < 0.15 ? "_" : "";
  const plural = from.uniform() < 0.25 ? "s" : "";
  const about = `${sentence} the ${object}${plural}${from.choose(DETAILS)(argument)}.`;
  const note = from.choose(NOTES)(argument);
  const doc = note === "" ? `    """${about}"""` : `    """${about}\n\n    ${note}\n    """`;
  return `def ${prefix}${verb}_${object}${plural}(${
    method ? "self, " : ""
  }${argument}${extra}):\n${doc}`;
}
