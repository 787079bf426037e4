/**
 * TensorBoard event files from training events: scalars only, written by hand (no TensorFlow). One file an
 * opening; a resumed run opens another whose name sorts later, and says from which update it repeats, so that
 * TensorBoard forgets what came after it. Each event is one appended write: a killed run leaves whole records,
 * and TensorBoard passes over a torn last one. Tags: `scalars.ts`; framing: `lib/io/tfrecord.ts`.
 * Field numbers: event.proto and summary.proto of TensorFlow.
 */
import { type FileHandle, mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { Message } from "../io/protobuf.ts";
import { frameRecord } from "../io/tfrecord.ts";
import type { TrainingEvent } from "./events.ts";
import { type Place, type Scalar, scalarsOf } from "./scalars.ts";

/** What every event file opens with. */
const FILE_VERSION = "brain.Event:2";
/** SessionLog.START: everything from this update on that earlier files hold is void. */
const SESSION_START = 1;

/** `seconds` since 1970. */
function eventOf(seconds: number): Message {
  return new Message().double(1, seconds);
}

/** The bytes of an Event that holds scalars of one update. */
export function encodeScalars(
  scalars: readonly Scalar[],
  { step, seconds }: { step: number; seconds: number },
): Uint8Array<ArrayBuffer> {
  const summary = new Message();
  for (const { tag, value } of scalars) {
    summary.message(1, new Message().string(1, tag).float(2, value));
  }
  return eventOf(seconds).int(2, step).message(5, summary).finish();
}

/** Writes events of a run to one file. Dispose to close it. */
export class TensorBoardWriter implements AsyncDisposable {
  /** Name of the file in its folder. */
  readonly name: string;
  #file: FileHandle;
  #now: () => number;
  /** Writes wait for each other, also when the caller does not. */
  #last: Promise<void> = Promise.resolve();
  #begun = false;

  /** Made by `openTensorBoard`. */
  constructor(file: FileHandle, { name, now }: { name: string; now: () => number }) {
    this.#file = file;
    this.name = name;
    this.#now = now;
  }

  /** Appends the scalars of an event; nothing for events without any. @throws when the disk refuses. */
  write(event: TrainingEvent, { stage, offset = 0 }: Place = {}): Promise<void> {
    const scalars = scalarsOf(event, { stage }), seconds = this.#now() / 1000;
    if (scalars.length === 0) return this.#last;
    const step = event.step + offset, records = [encodeScalars(scalars, { step, seconds })];
    if (!this.#begun) {
      const log = new Message().int(1, SESSION_START);
      records.unshift(eventOf(seconds).int(2, step).message(7, log).finish());
    }
    this.#begun = true;
    return this.#append(records);
  }

  #append(records: readonly Uint8Array[]): Promise<void> {
    const framed = records.map(frameRecord);
    const bytes = new Uint8Array(framed.reduce((n, r) => n + r.length, 0));
    framed.reduce((at, r) => (bytes.set(r, at), at + r.length), 0);
    const done = this.#last.then(async () => {
      try {
        await this.#file.writeFile(bytes);
      } catch (cause) {
        throw new Error(`Cannot write ${this.name}: ${(cause as Error).message}`, { cause });
      }
    });
    this.#last = done.catch(() => {}); // told to the caller of this write only
    return done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#file.sync();
    await this.#file.close();
  }
}

/**
 * Begins a new event file in `folder`, which may hold earlier ones of the same run.
 * @throws when the folder cannot be made or written.
 */
export async function openTensorBoard(
  folder: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<TensorBoardWriter> {
  await mkdir(folder, { recursive: true });
  // TensorBoard reads the files of a folder by name. Two openings in one second must not share it.
  const times = (await readdir(folder)).map((n) =>
    Number(/^events\.out\.tfevents\.(\d+)/.exec(n)?.[1])
  );
  const newest = Math.max(0, ...times.filter(Number.isInteger));
  const seconds = Math.max(Math.floor(now() / 1000), newest + 1);
  const name = `events.out.tfevents.${String(seconds).padStart(10, "0")}.griffin`;
  const file = await open(join(folder, name), "ax");
  await file.writeFile(frameRecord(eventOf(now() / 1000).string(3, FILE_VERSION).finish()));
  return new TensorBoardWriter(file, { name, now });
}
