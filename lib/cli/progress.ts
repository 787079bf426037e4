/**
 * A progress line on standard error: bar, count, time left, note. On a terminal it is redrawn in
 * place, elsewhere a line is written every ten seconds.
 */

/** `1:05`, `2:03:09`; `?` when not known. */
export function showSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const s = Math.max(0, Math.round(seconds)), pad = (n: number) => String(n).padStart(2, "0");
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s % 60)}` : `${m}:${pad(s % 60)}`;
}

/** One line: `label [#####.....] 50/100 1:05 left note`, cut to `columns`. */
export function formatProgress(
  { label, done, total, secondsLeft, note = "", columns = Infinity }: {
    label: string;
    done: number;
    total: number;
    secondsLeft: number;
    note?: string;
    columns?: number;
  },
): string {
  const width = 24, filled = Math.round(width * Math.min(1, done / Math.max(1, total)));
  const bar = "#".repeat(filled) + ".".repeat(width - filled);
  const left = `${showSeconds(secondsLeft)} left`;
  return `${label} [${bar}] ${done}/${total} ${left} ${note}`.trimEnd().slice(0, columns);
}

/** Draws progress; dispose to end the line. */
export class Progress implements Disposable {
  #label: string;
  #terminal = Deno.stderr.isTerminal();
  #began = performance.now();
  #last = -Infinity;
  #first: number | undefined;

  constructor(label: string) {
    this.#label = label;
  }

  /** Tells how far the work is; `secondsLeft` is computed from the rate so far when not given. */
  update(
    done: number,
    { total, note, secondsLeft }: { total: number; note?: string; secondsLeft?: number },
  ): void {
    const now = performance.now();
    this.#first ??= done - 1;
    if (now - this.#last < (this.#terminal ? 100 : 10_000) && done < total) return;
    this.#last = now;
    const rate = (done - this.#first) / ((now - this.#began) / 1000);
    const left = secondsLeft ?? (total - done) / rate;
    const columns = this.#terminal ? Deno.consoleSize().columns - 1 : undefined;
    const line = formatProgress({
      label: this.#label,
      done,
      total,
      secondsLeft: left,
      note,
      columns, // a wrapped line could not be redrawn
    });
    const text = this.#terminal ? `\r\x1b[2K${line}` : `${line}\n`;
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }

  [Symbol.dispose](): void {
    if (this.#terminal && this.#last > 0) Deno.stderr.writeSync(new TextEncoder().encode("\n"));
  }
}
