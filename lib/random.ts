/**
 * Counter-based random numbers (Philox 4x32-10, Salmon et al., SC'11): number i of a stream is a pure
 * function of (seed, stream, i). Runs are the same whatever the order of work, and resuming a stream needs
 * one number, its position. Not cryptographic, and nothing here reads the clock or the system's entropy.
 * Next on the walk of a prompt: `decode/sample.ts`, the distributions that are drawn from.
 */

/** A stream of random numbers. */
export interface Random {
  /** 32-bit numbers taken so far. Store it and set it again to go on from there. */
  position: number;
  /** Uniform in [0, 1), 32 bits; takes one number. */
  uniform(): number;
  /** Standard normal; takes two numbers. */
  normal(): number;
  /** Uniform integer in [0, n), 1 <= n <= 2^32; takes one number. */
  integer(n: number): number;
  /** One of the items; takes one number. */
  choose<T>(items: readonly T[]): T;
  /** Shuffles in place (Fisher-Yates, from the end) and returns the array; takes length - 1 numbers. */
  shuffle<A extends Shuffled>(items: A): A;
}

/** What can be shuffled: an array or a typed array of numbers. */
type Shuffled = unknown[] | Float32Array | Float64Array | Int32Array | Uint32Array;

const M0 = 0xd2511f53, M1 = 0xcd9e8d57, W0 = 0x9e3779b9, W1 = 0xbb67ae85;

function high(a: number, b: number): number {
  const al = a & 0xffff, ah = a >>> 16, bl = b & 0xffff, bh = b >>> 16;
  const low = al * bl, m1 = ah * bl + (low >>> 16), m2 = al * bh + (m1 & 0xffff);
  return (ah * bh + Math.floor(m1 / 65536) + Math.floor(m2 / 65536)) >>> 0;
}

/** One block of four 32-bit numbers: counter (c0..c3) under key (k0, k1). */
export function philox(counter: Uint32Array, key: readonly [number, number]): void {
  let [k0, k1] = key, [c0, c1, c2, c3] = counter;
  for (let round = 0; round < 10; round++) {
    const h0 = high(M0, c0), l0 = Math.imul(M0, c0) >>> 0;
    const h1 = high(M1, c2), l1 = Math.imul(M1, c2) >>> 0;
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

/** FNV-1a of a text, to give streams names. */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** 128 bits that name a stream. JSON keeps ["a", "b"], ["a/b"], 1 and "1" apart. */
function digest(seed: number, stream: readonly (number | string)[]): Uint32Array {
  const text = JSON.stringify([seed, ...stream]), state = new Uint32Array(4);
  for (let at = 0; at < text.length; at += 4) {
    for (let i = 0; i < 4 && at + i < text.length; i++) state[i] ^= text.charCodeAt(at + i);
    philox(state, [text.length, at]);
  }
  return state;
}

/**
 * The stream named by `stream` under a seed, from its beginning.
 * @throws when the seed is not a whole number, a stream's number is not finite, or `integer(n)` is asked
 * for an n outside 1..2^32.
 * @example random(7, "noise", 12).uniform() // the first number of the noise of step 12
 */
export function random(seed: number, ...stream: (number | string)[]): Random {
  if (!Number.isSafeInteger(seed)) {
    throw new Error(`Cannot start random numbers from seed ${seed}: wanted a whole number`);
  }
  for (const part of stream) {
    if (typeof part === "number" && !Number.isFinite(part)) {
      throw new Error(`Cannot name a stream of random numbers ${part}: wanted finite numbers`);
    }
  }
  const [k0, k1, c2, c3] = digest(seed, stream), key = [k0, k1] as const;
  const block = new Uint32Array(4);
  let position = 0, held = -1;
  const bits = (): number => {
    const counter = Math.floor(position / 4);
    if (counter !== held) {
      block[0] = counter;
      block[1] = counter / 2 ** 32;
      block[2] = c2;
      block[3] = c3;
      philox(block, key);
      held = counter;
    }
    return block[position++ % 4];
  };
  const uniform = () => bits() / 2 ** 32;
  const integer = (n: number) => {
    if (!(Number.isInteger(n) && n >= 1 && n <= 2 ** 32)) {
      throw new Error(`Cannot draw an integer below ${n}: wanted a whole number from 1 to 2^32`);
    }
    return Math.floor(uniform() * n);
  };
  return {
    get position() {
      return position;
    },
    set position(to: number) {
      if (!(Number.isSafeInteger(to) && to >= 0)) {
        throw new Error(`Cannot resume random numbers at ${to}: wanted a position from 0`);
      }
      position = to;
    },
    uniform,
    integer,
    // Box-Muller; 1 - u keeps the logarithm away from 0.
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    choose: (items) => items[integer(items.length)],
    shuffle(items) {
      const array = items as unknown[];
      for (let i = array.length - 1; i > 0; i--) {
        const j = integer(i + 1), item = array[i];
        array[i] = array[j];
        array[j] = item;
      }
      return items;
    },
  };
}
