/**
 * A training run on an MLflow server: settings as parameters, events as metrics. The server may come and go:
 * once the run is open, nothing here throws or holds up the training. Values wait in memory, are sent again
 * with growing pauses, and what was never sent is told at the end. Values sent twice (an answer got lost) are
 * one to MLflow. Tags: `scalars.ts`; requests: `mlflow_client.ts`.
 */
import type { TrainingEvent } from "./events.ts";
import { type Metric, MlflowClient, type RunStatus } from "./mlflow_client.ts";
import { type Place, scalarsOf } from "./scalars.ts";

export interface MlflowOptions {
  /** Made on the server if there is none of that name. */
  experiment?: string;
  /** Name of a new run; MLflow invents one otherwise. */
  name?: string;
  /** Id of the run to continue. Its parameters must agree; missing ones are added. */
  run?: string;
  parameters?: Readonly<Record<string, string | number | boolean>>;
  /** Bearer token; a user and password may stand in the URL instead. */
  token?: string;
  /** Told once when the server is away, and at the end when values were not sent. */
  warn?: (line: string) => void;
  /** Milliseconds between requests, so that one carries many values. */
  every?: number;
  /** First pause after a failure in milliseconds; doubles up to a minute. */
  pause?: number;
  /** Failures in a row before the warning, and before giving up at the end. */
  patience?: number;
  /** Values kept while the server is away; the oldest go first. */
  bound?: number;
  /** Milliseconds to wait for an answer. */
  timeout?: number;
}

/** What became of a run's values. */
export interface Delivery {
  sent: number;
  unsent: number;
  /** Why values were not sent, or the run's end not told. */
  reason?: string;
}

/** Limits of one request, set by MLflow. */
const METRICS_A_REQUEST = 1000, PARAMETERS_A_REQUEST = 100;
const LONGEST_PAUSE = 60_000;

const messageOf = (cause: unknown) => cause instanceof Error ? cause.message : String(cause);

/** An open run. Call `finish` at its end; disposal without it marks the run as failed. */
export class MlflowRun implements AsyncDisposable {
  /** Keep it to continue this run later. */
  readonly id: string;
  /** Where to look at it. */
  readonly page: string;
  #client: MlflowClient;
  #options: Required<Pick<MlflowOptions, "warn" | "every" | "pause" | "patience" | "bound">>;
  #waiting: Metric[] = [];
  #sending: Promise<void> | undefined;
  #wake = () => {};
  #finished: Promise<Delivery> | undefined;
  #warned = false;
  /** Set when the server refused for good. */
  #refused = false;
  #reason: string | undefined;
  /** Requests in a row without an answer. */
  #failures = 0;
  #sent = 0;
  #dropped = 0;

  /** Made by `openMlflow`. */
  constructor(
    client: MlflowClient,
    { id, experiment, options }: { id: string; experiment: string; options: MlflowOptions },
  ) {
    this.id = id;
    this.page = `${client.url}/#/experiments/${experiment}/runs/${id}`;
    this.#client = client;
    const { warn = (line) => console.error(line), every = 2000, pause = 1000 } = options;
    const { patience = 3, bound = 200_000 } = options;
    this.#options = { warn, every, pause, patience, bound };
  }

  /** Takes an event's values; they are sent in the background. Never throws. */
  write(event: TrainingEvent, { stage, offset = 0 }: Place = {}): void {
    const timestamp = Date.now(), step = event.step + offset;
    const fresh = scalarsOf(event, { stage }).map(({ tag: key, value }) => ({
      key,
      value,
      timestamp,
      step,
    }));
    if (this.#refused || this.#finished !== undefined) {
      this.#dropped += fresh.length;
      return;
    }
    this.#waiting.push(...fresh);
    this.#trim();
    if (this.#waiting.length > 0) this.#sending ??= this.#send();
  }

  #trim(): void {
    const over = this.#waiting.length - this.#options.bound;
    if (over > 0) this.#dropped += this.#waiting.splice(0, over).length;
  }

  /** A pause that `finish` ends early. */
  #rest(ms: number): Promise<void> {
    if (this.#finished !== undefined || ms === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), ms);
      this.#wake = () => (clearTimeout(timer), resolve());
    });
  }

  async #send(): Promise<void> {
    const { every, pause, patience } = this.#options;
    await this.#rest(every);
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, METRICS_A_REQUEST);
      try {
        await this.#client.logBatch(this.id, { metrics: batch });
        this.#sent += batch.length;
        this.#failures = 0;
        if (this.#waiting.length < METRICS_A_REQUEST) await this.#rest(every);
      } catch (cause) {
        this.#waiting = batch.concat(this.#waiting);
        this.#trim();
        this.#reason = messageOf(cause);
        if (!(cause as { passing?: boolean }).passing) {
          this.#refused = true;
          this.#tell(`${this.#reason}; the training goes on without it`);
          break;
        }
        const failures = ++this.#failures;
        if (failures >= patience) {
          this.#tell(`${this.#reason}; the training goes on, values are kept and sent later`);
          if (this.#finished !== undefined) break;
        }
        const wait = Math.min(LONGEST_PAUSE, pause * 2 ** (failures - 1));
        // At the end there are few tries, so that their pauses stay short; they are real pauses still.
        if (this.#finished !== undefined) await new Promise((r) => setTimeout(r, wait));
        else await this.#rest(wait);
      }
    }
    this.#sending = undefined;
  }

  #tell(line: string): void {
    // At the end `finish` tells all there is.
    if (this.#warned || this.#finished !== undefined) return;
    this.#options.warn(`warning: ${line}`);
    this.#warned = true;
  }

  /**
   * Sends what is left (some tries, then no more), and marks the run as ended. Never throws; a second call
   * gives the first one's answer. `KILLED` is for runs that were stopped and may be continued.
   */
  finish(status: Exclude<RunStatus, "RUNNING"> = "FINISHED"): Promise<Delivery> {
    if (this.#finished !== undefined) return this.#finished;
    const { promise, resolve } = Promise.withResolvers<Delivery>();
    this.#finished = promise;
    this.#failures = 0; // fresh tries, however long the server was away
    this.#wake();
    void this.#close(status).then(resolve);
    return promise;
  }

  /** Why the server could not be told, if so. */
  async #end(status: RunStatus, { tries }: { tries: number }): Promise<string | undefined> {
    for (let failures = 0;;) {
      try {
        return void await this.#client.setStatus(this.id, status);
      } catch (cause) {
        if (!(cause as { passing?: boolean }).passing || ++failures >= tries) {
          return messageOf(cause);
        }
        await new Promise((r) => setTimeout(r, this.#options.pause * 2 ** (failures - 1)));
      }
    }
  }

  async #close(status: RunStatus): Promise<Delivery> {
    const { warn, patience } = this.#options;
    await this.#sending;
    const unsent = this.#waiting.length + this.#dropped;
    if (unsent === 0) this.#reason = undefined; // what failed once was sent later
    else if (this.#waiting.length === 0 && !this.#refused) {
      this.#reason = `more than ${this.#options.bound} values waited while the server was away`;
    }
    const told = await this.#end(status, { tries: this.#waiting.length > 0 ? 1 : patience });
    this.#reason ??= told;
    const delivery: Delivery = { sent: this.#sent, unsent };
    if (this.#reason === undefined) return delivery;
    const of = unsent + this.#sent;
    warn(
      unsent > 0
        ? `warning: ${unsent} of ${of} values were not sent to MLflow: ${this.#reason}`
        : `warning: MLflow was not told that the run ended: ${this.#reason}`,
    );
    return { ...delivery, reason: this.#reason };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.finish("FAILED");
  }
}

/** Parameters that the run does not have yet. @throws when it has one with another value. */
function missingParameters(
  wanted: Readonly<Record<string, string>>,
  { found, run }: { found: Readonly<Record<string, string>>; run: string },
): Record<string, string> {
  for (const [key, value] of Object.entries(wanted)) {
    if (key in found && found[key] !== value) {
      throw new Error(
        `Cannot continue MLflow run ${run}: its ${key} is ${found[key]}, now asked for ${value}`,
      );
    }
  }
  return Object.fromEntries(Object.entries(wanted).filter(([key]) => !(key in found)));
}

/**
 * Opens a run on the server at `url`, a new one or `options.run`.
 * @throws naming URL, status and MLflow's message when the server cannot be reached or refuses, and when a
 * continued run has other parameters: at the start one can still act on it.
 */
export async function openMlflow(url: string, options: MlflowOptions = {}): Promise<MlflowRun> {
  const client = new MlflowClient(url, options), { experiment = "griffin", name, run } = options;
  const wanted = Object.fromEntries(
    Object.entries(options.parameters ?? {}).map(([key, value]) => [key, String(value)]),
  );
  let id: string, place: string, missing = wanted;
  if (run === undefined) {
    place = await client.experiment(experiment);
    id = await client.createRun(place, { name });
  } else {
    const state = await client.getRun(run);
    missing = missingParameters(wanted, { found: state.parameters, run });
    [id, place] = [run, state.experiment];
    await client.setStatus(id, "RUNNING");
  }
  const rows = Object.entries(missing);
  for (let at = 0; at < rows.length; at += PARAMETERS_A_REQUEST) {
    const parameters = Object.fromEntries(rows.slice(at, at + PARAMETERS_A_REQUEST));
    await client.logBatch(id, { parameters });
  }
  return new MlflowRun(client, { id, experiment: place, options });
}
