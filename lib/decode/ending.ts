/**
 * When a generation ends: end tokens of the model, stop tokens and stop strings of the caller, the length limit, the
 * model's positions, an abort. Plain and speculative decoding both emit through it, so both cut at the same token.
 */
import type { EndReason } from "../report/events.ts";

/** What ends a generation beside the model's own end tokens. */
export interface StopOptions {
  /** New tokens at most. */
  maxTokens?: number;
  /** Tokens after which to stop; the last token emitted is one of them. */
  stopTokens?: readonly number[];
  /** Texts after which to stop, and how tokens become text; the last token emitted completes one of them. */
  stop?: { strings: readonly string[]; decode: (tokens: number[]) => string };
  /** Stops between rounds. */
  signal?: AbortSignal;
}

/** The text before the first stop string. */
export function textBeforeStop(text: string, strings: readonly string[]): string {
  const found = strings.map((s) => text.indexOf(s)).filter((at) => at >= 0);
  return found.length === 0 ? text : text.slice(0, Math.min(...found));
}

/** Cuts what is emitted, and knows when and why to stop. */
export class Ending {
  reason: EndReason | undefined;
  #emitted: number[] = [];
  #eos: readonly number[];
  #options: StopOptions;
  #limit: number;
  #room: number;
  /** Tokens that hold the longest stop string, whatever they begin and end with. */
  #window: number;

  /**
   * @param room positions that the model has left
   * @throws when a limit is out of range or a stop string is empty.
   */
  constructor(
    options: StopOptions,
    { eos, room }: { eos: readonly number[]; room: number },
  ) {
    const { maxTokens = 256, stop } = options, strings = stop?.strings ?? [];
    if (!(Number.isInteger(maxTokens) && maxTokens >= 1)) {
      throw new Error(`Cannot generate ${maxTokens} tokens: wanted a whole number from 1`);
    }
    if (strings.includes("")) throw new Error("Cannot stop at an empty string");
    this.#eos = eos;
    this.#options = options;
    this.#limit = maxTokens;
    this.#room = room;
    const bytes = strings.map((s) => new TextEncoder().encode(s).length);
    // A token has at least one byte; special tokens may have no text.
    this.#window = Math.max(0, ...bytes) + 8;
  }

  #why(token: number): EndReason | undefined {
    const { stopTokens = [], stop } = this.#options;
    if (this.#eos.includes(token)) return "end token";
    if (stopTokens.includes(token)) return "stop token";
    if (stop !== undefined && stop.strings.length > 0) {
      const tail = stop.decode(this.#emitted.slice(-this.#window));
      if (stop.strings.some((s) => tail.includes(s))) return "stop string";
    }
    if (this.#emitted.length >= this.#limit) return "length limit";
    return this.#emitted.length >= this.#room ? "positions" : undefined;
  }

  /** The part of these tokens that is emitted; sets the reason when generation ends with it. */
  take(tokens: readonly number[]): number[] {
    const kept: number[] = [];
    for (const token of tokens) {
      kept.push(token);
      this.#emitted.push(token);
      this.reason = this.#why(token);
      if (this.reason !== undefined) return kept;
    }
    if (this.#options.signal?.aborted) this.reason = "abort";
    return kept;
  }
}
