/**
 * Counter-based random numbers (Philox 4x32-10, Salmon et al., SC'11): number i of a stream is a pure
 * function of (seed, stream, i). Runs are the same whatever the order of work, and resuming needs no state.
 */

/** A stream of random numbers. */
export interface Random {
  /** Uniform in [0, 1), 32 bits. */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
  /** Uniform integer in [0, n). */
  integer(n: number): number;
  /** One of the items. */
  choose<T>(items: readonly T[]): T;
  /** Shuffles in place and returns the array. */
  shuffle<T>(items: T[]): T[];
}

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

/** The stream named by `stream` under a seed, from its beginning. */
export function random(seed: number, ...stream: (number | string)[]): Random {
  const name = stream.join("/"), key = [seed >>> 0, hashText(name)] as const;
  const upper = hashText(`${name}#`), block = new Uint32Array(4);
  let counter = 0, left = 0;
  const bits = (): number => {
    if (left === 0) {
      block[0] = counter >>> 0;
      block[1] = Math.floor(counter / 2 ** 32);
      block[2] = upper;
      block[3] = 0;
      counter++;
      philox(block, key);
      left = 4;
    }
    return block[--left];
  };
  const uniform = () => bits() / 2 ** 32;
  const integer = (n: number) => Math.floor(uniform() * n);
  return {
    uniform,
    integer,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    choose: (items) => items[integer(items.length)],
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [items[i], items[j]] = [items[j], items[i]];
      }
      return items;
    },
  };
}
