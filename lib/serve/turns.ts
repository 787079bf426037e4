/**
 * Whose turn it is: one at a time, the others in the order in which they came, each seeing its place, and a line that
 * is only so long. It knows nothing of models or HTTP. Next on the walk of a request: `desk.ts`, which stands in it.
 */

/** The line is full, or nobody is let in any more. */
export class LineFull extends Error {
  /** Seconds after which to try again. */
  readonly retryAfter: number;
  readonly closed: boolean;
  constructor(message: string, { retryAfter, closed }: { retryAfter: number; closed: boolean }) {
    super(message);
    this.retryAfter = retryAfter;
    this.closed = closed;
  }
}

const closed = () => new LineFull("The server is stopping", { retryAfter: 5, closed: true });

/** A place in the line; dispose to leave it, with or without having had the turn. */
export class Turn implements Disposable {
  #line: Turn[];
  #changed = Promise.withResolvers<void>();
  #leave: () => void;
  #turnedAway = false;

  constructor(line: Turn[], leave: (turn: Turn) => void) {
    this.#line = line;
    this.#leave = () => leave(this);
  }

  /** The turn will not come. */
  turnAway(): void {
    this.#turnedAway = true;
    this.move();
  }

  /** How many are before this one; 0 has the turn, -1 has left. */
  get place(): number {
    return this.#line.indexOf(this);
  }

  /** The line moved. */
  move(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  /**
   * Yields the place at once and whenever it changes, until the turn has come; ends early when aborted.
   * @throws {@link LineFull} when the line is closed before.
   */
  async *places(signal?: AbortSignal): AsyncGenerator<number> {
    const stop = Promise.withResolvers<void>(), onAbort = () => stop.resolve();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (let last = -1; !signal?.aborted;) {
        const { place } = this, changed = this.#changed.promise;
        if (this.#turnedAway) throw closed();
        if (place !== last) yield place;
        if (place <= 0) return;
        last = place;
        await Promise.race([changed, stop.promise]);
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  [Symbol.dispose](): void {
    this.#leave();
  }
}

/** The line. */
export class Turns {
  /** How many may wait, beside the one whose turn it is. */
  readonly most: number;
  #line: Turn[] = [];
  #closed = false;
  /** Running mean of how long a turn takes, milliseconds. */
  #mean = 2000;
  #began = 0;

  /** @throws when the length is no whole number from 0. */
  constructor({ most = 64 }: { most?: number } = {}) {
    if (!Number.isInteger(most) || most < 0) {
      throw new Error(`Cannot let ${most} wait: wanted a whole number from 0`);
    }
    this.most = most;
  }

  /** How many wait. */
  get waiting(): number {
    return Math.max(0, this.#line.length - 1);
  }

  /** Is it somebody's turn? */
  get busy(): boolean {
    return this.#line.length > 0;
  }

  /** Takes a place at the end. @throws {@link LineFull} when there is none. */
  enter(): Turn {
    const retryAfter = Math.max(1, Math.ceil(this.#mean * (1 + this.waiting / 2) / 1000));
    if (this.#closed) throw closed();
    if (this.#line.length > this.most) {
      const message = `${this.waiting} requests wait already, wanted at most ${this.most}`;
      throw new LineFull(message, { retryAfter, closed: false });
    }
    const turn = new Turn(this.#line, (left) => this.#remove(left));
    this.#line.push(turn);
    if (this.#line.length === 1) this.#began = performance.now();
    return turn;
  }

  #remove(turn: Turn): void {
    const at = this.#line.indexOf(turn);
    if (at < 0) return;
    this.#line.splice(at, 1);
    if (at === 0) {
      const now = performance.now();
      this.#mean += 0.2 * (now - this.#began - this.#mean);
      this.#began = now;
    }
    turn.move();
    for (const other of this.#line.slice(at)) other.move();
  }

  /** Lets nobody in any more and turns away those who wait; who has the turn keeps it. */
  close(): void {
    this.#closed = true;
    for (const turn of this.#line.slice(1)) turn.turnAway();
  }
}
