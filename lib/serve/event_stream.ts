/**
 * Server-sent events from an async generator of lines, for a client that may read slowly or go away: what it does not
 * read is buffered up to a bound, then the generator waits, and after a while the client counts as gone. A sign of life
 * goes out when there is nothing to say, so that a dead connection is noticed in the line too.
 */

/** Bytes that may wait for the client. */
const BUFFER = 256 << 10;

export interface EventStreamOptions {
  /** Aborted when the client goes away. */
  abort: AbortController;
  /** Called once, when nothing is sent any more, for whatever reason. */
  done?: () => void;
  /** A client that reads nothing for so long, milliseconds, counts as gone. */
  stallMs?: number;
  /** A comment is sent after so long without an event. */
  aliveMs?: number;
}

/** A line of data. */
export const data = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

/** A line that clients ignore. */
export const comment = (text: string) => `: ${text}\n\n`;

/** The body of a response. A generator that throws ends it as broken: errors to be told are told by the generator. */
export function eventStream(
  lines: AsyncGenerator<string>,
  { abort, done = () => {}, stallMs = 15_000, aliveMs = 10_000 }: EventStreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  let stalled: ReturnType<typeof setTimeout> | undefined;
  let pending: Promise<IteratorResult<string>> | undefined;
  let over = false;
  const finish = () => {
    if (over) return;
    over = true;
    clearTimeout(stalled);
    done();
  };
  const giveUp = async () => {
    abort.abort();
    try {
      await lines.return(undefined);
    } finally {
      finish();
    }
  };
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      clearTimeout(stalled);
      pending ??= lines.next();
      let alive: ReturnType<typeof setTimeout> | undefined;
      const quiet = new Promise<undefined>((resolve) => {
        alive = setTimeout(() => resolve(undefined), aliveMs);
      });
      try {
        const next = await Promise.race([pending, quiet]);
        if (over) return;
        if (next === undefined) {
          controller.enqueue(encoder.encode(comment("alive")));
          return;
        }
        pending = undefined;
        if (next.done) {
          finish();
          controller.close();
          return;
        }
        controller.enqueue(encoder.encode(next.value));
        if ((controller.desiredSize ?? 0) > 0) return;
        stalled = setTimeout(() => {
          controller.error(new Error(`the client read nothing for ${stallMs} ms`));
          void giveUp().catch(() => {}); // what the generator threw on its way out has no reader
        }, stallMs);
      } catch (cause) {
        finish();
        throw cause;
      } finally {
        clearTimeout(alive);
      }
    },
    cancel: giveUp,
  }, new ByteLengthQueuingStrategy({ highWaterMark: BUFFER }));
}
