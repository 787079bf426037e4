/**
 * The few calls of MLflow's REST interface that a run needs, each one request. It keeps no state of a run and
 * repeats nothing: what to do about a server that is away is `mlflow.ts`.
 */

/** A refusal, or no answer at all. */
export class MlflowError extends Error {
  override name = "MlflowError";
  /** The server may answer otherwise later: no connection, a time-out, 408, 429 or 5xx. */
  readonly passing: boolean;
  /** MLflow's own code: `RESOURCE_DOES_NOT_EXIST`. */
  readonly code: string | undefined;

  constructor(
    message: string,
    { passing, code, cause }: { passing: boolean; code?: string; cause?: unknown },
  ) {
    super(message, { cause });
    this.passing = passing;
    this.code = code;
  }
}

/** A value of one metric at one update. */
export interface Metric {
  key: string;
  value: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  step: number;
}

/** What `runs/get` tells of a run. */
export interface RunState {
  experiment: string;
  parameters: Record<string, string>;
}

export type RunStatus = "RUNNING" | "FINISHED" | "FAILED" | "KILLED";

interface Answer {
  experiment?: { experiment_id: string; lifecycle_stage?: string };
  experiment_id?: string;
  run?: {
    info: { run_id: string; experiment_id: string };
    data?: { params?: { key: string; value: string }[] };
  };
}

/** JSON has no NaN; MLflow takes these texts for numbers. */
const number = (value: number) => Number.isFinite(value) ? value : String(value);

/** Talks to one server. */
export class MlflowClient {
  /** The server, without credentials and without a slash at the end. */
  readonly url: string;
  #headers: Record<string, string> = { "content-type": "application/json" };
  #timeout: number;

  /** `token`: sent as a bearer token; a user and a password may stand in the URL instead. */
  constructor(url: string, { token, timeout = 10_000 }: { token?: string; timeout?: number } = {}) {
    const parsed = URL.parse(url);
    if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
      throw new Error(
        `Cannot use ${url} as an MLflow server: wanted http:// or https:// and a host`,
      );
    }
    if (parsed.username !== "") {
      const user = `${decodeURIComponent(parsed.username)}:${decodeURIComponent(parsed.password)}`;
      const bytes = new TextEncoder().encode(user);
      this.#headers.authorization = `Basic ${btoa(String.fromCharCode(...bytes))}`;
    }
    if (token !== undefined) this.#headers.authorization = `Bearer ${token}`;
    this.url = `${parsed.origin}${parsed.pathname}`.replace(/\/+$/, "");
    this.#timeout = timeout;
  }

  /** @throws MlflowError with the URL, the status and MLflow's message. */
  async #call(
    path: string,
    { query, body }: { query?: Record<string, string>; body?: unknown },
  ): Promise<Answer> {
    const address = `${this.url}/api/2.0/mlflow/${path}`, abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error("no answer in time")), this.#timeout);
    let status: number, text: string;
    try {
      const response = await fetch(
        query === undefined ? address : `${address}?${new URLSearchParams(query)}`,
        {
          method: body === undefined ? "GET" : "POST",
          headers: this.#headers,
          body: body === undefined ? undefined : JSON.stringify(body),
          signal: abort.signal,
        },
      );
      status = response.status;
      text = await response.text();
    } catch (cause) {
      const { message } = cause as Error;
      throw new MlflowError(`Cannot reach MLflow at ${address}: ${message}`, {
        passing: !(cause instanceof Deno.errors.NotCapable),
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
    let answer: (Answer & { error_code?: string; message?: string }) | undefined;
    try {
      answer = JSON.parse(text);
    } catch {
      // Some other server, or a proxy before it: its text is told below.
    }
    if (status === 200 && typeof answer === "object" && answer !== null) return answer;
    const told = answer?.message ?? (text.replace(/\s+/g, " ").slice(0, 200) || "nothing");
    throw new MlflowError(`MLflow at ${address} answered ${status}: ${told}`, {
      passing: status === 408 || status === 429 || status >= 500,
      code: answer?.error_code,
    });
  }

  /** Id of the experiment of that name, made if there is none. */
  async experiment(name: string): Promise<string> {
    try {
      return await this.#find(name);
    } catch (cause) {
      if (!(cause instanceof MlflowError) || cause.code !== "RESOURCE_DOES_NOT_EXIST") throw cause;
    }
    try {
      const { experiment_id } = await this.#call("experiments/create", { body: { name } });
      return experiment_id!;
    } catch (cause) {
      // Made by somebody else in the meantime.
      if (!(cause instanceof MlflowError) || cause.code !== "RESOURCE_ALREADY_EXISTS") throw cause;
      return await this.#find(name);
    }
  }

  async #find(name: string): Promise<string> {
    const query = { experiment_name: name };
    const { experiment } = await this.#call("experiments/get-by-name", { query });
    if (experiment!.lifecycle_stage === "deleted") {
      throw new Error(
        `Cannot use experiment ${name} at ${this.url}: it is deleted there; restore it or take another name`,
      );
    }
    return experiment!.experiment_id;
  }

  /** Id of a new run. */
  async createRun(experiment: string, { name }: { name?: string }): Promise<string> {
    const body = { experiment_id: experiment, run_name: name, start_time: Date.now() };
    return (await this.#call("runs/create", { body })).run!.info.run_id;
  }

  async getRun(run: string): Promise<RunState> {
    const { info, data } = (await this.#call("runs/get", { query: { run_id: run } })).run!;
    const parameters = Object.fromEntries((data?.params ?? []).map((p) => [p.key, p.value]));
    return { experiment: info.experiment_id, parameters };
  }

  /** At most 1000 metrics and 100 parameters a request. */
  async logBatch(
    run: string,
    { metrics = [], parameters = {} }: {
      metrics?: readonly Metric[];
      parameters?: Readonly<Record<string, string>>;
    },
  ): Promise<void> {
    const body = {
      run_id: run,
      metrics: metrics.map((m) => ({ ...m, value: number(m.value) })),
      params: Object.entries(parameters).map(([key, value]) => ({ key, value })),
    };
    await this.#call("runs/log-batch", { body });
  }

  async setStatus(run: string, status: RunStatus): Promise<void> {
    const end = status === "RUNNING" ? {} : { end_time: Date.now() };
    await this.#call("runs/update", { body: { run_id: run, status, ...end } });
  }
}
