/**
 * Text on its way to a client, cut before the first stop string. What may be the beginning of one is held back until
 * more is known. Generation itself ends by `decode/ending.ts`, whose last token may say more than the stop string.
 */
import { textBeforeStop } from "../decode/ending.ts";

export class StopText {
  #strings: readonly string[];
  #held = "";
  #stopped = false;

  constructor(strings: readonly string[]) {
    this.#strings = strings;
  }

  /** Takes more text; returns what can be given out. */
  push(text: string): string {
    if (this.#stopped) return "";
    const whole = this.#held + text, before = textBeforeStop(whole, this.#strings);
    if (before.length < whole.length) {
      this.#stopped = true;
      this.#held = "";
      return before;
    }
    let held = 0;
    for (const s of this.#strings) {
      for (let n = Math.min(s.length - 1, whole.length); n > held; n--) {
        if (whole.endsWith(s.slice(0, n))) held = n;
      }
    }
    this.#held = whole.slice(whole.length - held);
    return whole.slice(0, whole.length - held);
  }

  /** The rest: no stop string came of it. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}
