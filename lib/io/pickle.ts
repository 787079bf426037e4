/**
 * A pickle machine that can build what a saved state dict is made of and nothing else: dictionaries, lists, tuples,
 * numbers, texts, and calls of the few functions that the caller allows by name. Pickles can call anything; one that
 * tries is refused, and the name it asked for is told. Used by `torch_bin.ts`.
 */

/** A function or class that a pickle names. */
export type Allowed = Record<string, (...args: unknown[]) => unknown>;

/** What a pickle may use. */
export interface PickleWorld {
  /** By `module name`. */
  allowed: Allowed;
  /** The value behind a persistent id. */
  persistent: (id: unknown) => unknown;
}

/** A name that the pickle holds as a value before it calls it. */
class Named {
  constructor(readonly name: string, readonly call: (...args: unknown[]) => unknown) {}
}

const MARK = Symbol("mark");

/** Reads one pickled value. @throws on an opcode or a name that is not allowed, or a damaged stream. */
export function unpickle(bytes: Uint8Array, world: PickleWorld): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = new TextDecoder(), stack: unknown[] = [], memo = new Map<number, unknown>();
  let at = 0;
  const need = (n: number) => {
    if (n < 0 || at + n > bytes.length) throw new Error(`it ends within opcode ${at}`);
    at += n;
    return at - n;
  };
  const u8 = () => view.getUint8(need(1));
  const u32 = () => view.getUint32(need(4), true);
  const string = (n: number) => text.decode(bytes.subarray(need(n), at));
  const line = () => {
    const end = bytes.indexOf(10, at);
    if (end < 0) throw new Error("a line has no end");
    const found = string(end - at);
    at++;
    return found;
  };
  const pop = () => {
    if (stack.length === 0) throw new Error(`its stack is empty at byte ${at}`);
    return stack.pop();
  };
  const sinceMark = () => {
    const from = stack.lastIndexOf(MARK);
    if (from < 0) throw new Error(`a mark is missing at byte ${at}`);
    return stack.splice(from).slice(1);
  };
  const top = <T>(kind: new (...args: never[]) => T): T => {
    const found = stack.at(-1);
    if (found instanceof kind) return found;
    throw new Error(`byte ${at} wants a ${kind.name} on the stack`);
  };
  const name = (module: unknown, attribute: unknown) => {
    const full = `${module} ${attribute}`,
      call = Object.hasOwn(world.allowed, full) &&
        world.allowed[full];
    if (!call) throw new Error(`it asks for ${module}.${attribute}, which is not allowed`);
    stack.push(new Named(full, call));
  };
  const setItems = (items: unknown[]) => {
    const into = top(Map);
    for (let i = 0; i + 1 < items.length; i += 2) into.set(items[i], items[i + 1]);
  };
  const get = (i: number) => {
    if (!memo.has(i)) throw new Error(`it recalls value ${i}, which it never stored`);
    stack.push(memo.get(i));
  };
  const put = (i: number) => void memo.set(i, stack.at(-1));
  const long = (n: number) => {
    let value = 0n;
    const from = need(n);
    for (let i = n - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[from + i]);
    stack.push(Number(n > 0 && bytes[at - 1] > 127 ? value - (1n << BigInt(8 * n)) : value));
  };
  const opcodes: Record<number, () => void> = {
    0x80: () => void u8(), // PROTO
    0x95: () => void need(8), // FRAME
    0x28: () => void stack.push(MARK),
    0x30: () => void pop(),
    0x4e: () => void stack.push(undefined), // NONE
    0x88: () => void stack.push(true),
    0x89: () => void stack.push(false),
    0x4a: () => void stack.push(view.getInt32(need(4), true)), // BININT
    0x4b: () => void stack.push(u8()),
    0x4d: () => void stack.push(view.getUint16(need(2), true)),
    0x8a: () => long(u8()), // LONG1
    0x47: () => void stack.push(view.getFloat64(need(8), false)), // BINFLOAT
    0x58: () => void stack.push(string(u32())), // BINUNICODE
    0x8c: () => void stack.push(string(u8())), // SHORT_BINUNICODE
    0x7d: () => void stack.push(new Map()),
    0x5d: () => void stack.push([]),
    0x29: () => void stack.push([]), // EMPTY_TUPLE
    0x74: () => void stack.push(sinceMark()), // TUPLE
    0x85: () => void stack.push([pop()]),
    0x86: () => void stack.push(stack.splice(-2)),
    0x87: () => void stack.push(stack.splice(-3)),
    0x73: () => setItems(stack.splice(-2)), // SETITEM
    0x75: () => setItems(sinceMark()), // SETITEMS
    0x61: () => { // APPEND
      const value = pop();
      top(Array).push(value);
    },
    0x65: () => { // APPENDS
      const values = sinceMark();
      top(Array).push(...values);
    },
    0x71: () => put(u8()),
    0x72: () => put(u32()),
    0x94: () => put(memo.size), // MEMOIZE
    0x68: () => get(u8()),
    0x6a: () => get(u32()),
    0x63: () => name(line(), line()), // GLOBAL
    0x93: () => { // STACK_GLOBAL
      const attribute = pop();
      name(pop(), attribute);
    },
    0x51: () => void stack.push(world.persistent(pop())), // BINPERSID
    0x52: () => { // REDUCE
      const args = pop(), made = pop();
      if (!(made instanceof Named)) throw new Error("it calls a value that is no function");
      if (!Array.isArray(args)) throw new Error(`it calls ${made.name} without arguments`);
      stack.push(made.call(...args));
    },
    0x62: () => void pop(), // BUILD: attributes beside the items of a dictionary, which say nothing here
  };
  for (;;) {
    const opcode = u8();
    if (opcode === 0x2e) return pop(); // STOP
    const run = opcodes[opcode];
    if (run === undefined) {
      const shown = `0x${opcode.toString(16).padStart(2, "0")}`;
      throw new Error(`it uses opcode ${shown}, which is not allowed`);
    }
    run();
  }
}
