/**
 * Static trees that were published, as lists of paths for `staticGrowth`: which child of which child is verified,
 * 0 being the draft's best. Numbers only; how they grow is in `growth.ts`.
 */

/** A path from the root, a digit a level. */
const paths = (text: string): number[][] => text.split(" ").map((path) => [...path].map(Number));

/** By name: `deno task eval --tree static:NAME`. */
export const STATIC_TREES: Record<string, readonly (readonly number[])[]> = {
  /** EAGLE-1 (Li et al. 2024, arXiv 2401.15077): 25 nodes beside the root, 5 levels. */
  eagle1: paths(
    "0 1 2 3 00 01 02 10 11 20 21 30 000 001 002 010 011 020 021 100 0000 0001 0002 00000 00001",
  ),
  /** Medusa (Cai et al. 2024, arXiv 2401.10774): 63 nodes beside the root, 4 levels, found by search for a 7B model. */
  medusa: paths(
    "0 1 2 3 4 5 6 7 8 9 00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 20 21 22 30 31 40 50 60 70 80 90 " +
      "000 001 002 003 004 005 006 007 008 009 010 011 012 020 021 030 040 050 060 070 100 101 200 0000 0001",
  ),
};
