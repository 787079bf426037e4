/**
 * Launches of the pages that treat each row by itself: softmax, cross entropy, RMSNorm, scatter-add, top-k, argmax,
 * sampling, rotary positions.
 */
import { type Kernel, spread } from "./kernel.ts";
import argmax from "./argmax.wgsl" with { type: "text" };
import crossEntropy from "./cross_entropy.wgsl" with { type: "text" };
import rmsNorm from "./rms_norm.wgsl" with { type: "text" };
import rope from "./rope.wgsl" with { type: "text" };
import sample from "./sample.wgsl" with { type: "text" };
import scatterAdd from "./scatter_add.wgsl" with { type: "text" };
import softmax from "./softmax.wgsl" with { type: "text" };
import topK from "./top_k.wgsl" with { type: "text" };

/** Rows and their length. */
export interface Rows {
  rows: number;
  length: number;
}

const launch = (
  name: string,
  text: string,
  { rows, length, ...more }: Rows & Record<string, number | string>,
): Kernel => ({
  name,
  text,
  constants: { ROWS: rows, LENGTH: length, ...more },
  groups: spread(rows),
});

/** Asks for x_at(r, i), put(position, v); the logarithm where `log`. */
export const softmaxKernel = ({ log, ...rows }: Rows & { log: boolean }): Kernel =>
  launch("softmax", softmax, { ...rows, LOG: String(log) });

/** Asks for x_at(r, v), p_at(r, v), put(r, value). */
export const crossEntropyKernel = (rows: Rows): Kernel =>
  launch("cross_entropy", crossEntropy, { ...rows });

/** Asks for x_at(r, i), w_at(i), put(position, v). */
export const rmsNormKernel = ({ epsilon, ...rows }: Rows & { epsilon: number }): Kernel =>
  launch("rms_norm", rmsNorm, { ...rows, EPSILON: `${Math.fround(epsilon)}f` });

/** Asks for x_at(r, i), put(position, index). */
export const topKKernel = ({ k, ...rows }: Rows & { k: number }): Kernel =>
  launch("top_k", topK, { ...rows, K: k });

/** Asks for x_at(r, i), put(r, index). */
export const argmaxKernel = (rows: Rows): Kernel => launch("argmax", argmax, { ...rows });

/** Asks for p_at(r, i), uniform_at(r), put(r, index). */
export const sampleKernel = (rows: Rows): Kernel => launch("sample", sample, { ...rows });

/** Asks for x_four(r, i), cos_four(r, i), sin_four(r, i), put(position, four values); `length` is that of a row. */
export const ropeKernel = ({ rows, length }: Rows): Kernel => ({
  name: "rope",
  text: rope,
  constants: { ROWS: rows, HALF: length / 2 },
  groups: spread(Math.ceil(rows * length / 8 / 64)),
});

/** Asks for id_at(i), value(i, j), put(position, v). */
export const scatterAddKernel = (
  { rows, count, width }: { rows: number; count: number; width: number },
): Kernel => ({
  name: "scatter_add",
  text: scatterAdd,
  constants: { ROWS: rows, COUNT: count, WIDTH: width },
  groups: spread(rows),
});
