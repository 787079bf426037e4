/**
 * A small MLflow for tests: the six calls, checked for their shapes and remembered; it can be told to fail.
 * Holds no test. Its strictness follows the REST reference of MLflow.
 */
import assert from "node:assert/strict";
import type { Metric } from "../../lib/report/mlflow_client.ts";

interface StoredRun {
  experiment: string;
  name?: string;
  status: string;
  parameters: Record<string, string>;
  metrics: Metric[];
}

export class MlflowServer implements AsyncDisposable {
  experiments: Record<string, string> = {};
  runs: Record<string, StoredRun> = {};
  /** Paths of all requests, in order. */
  requests: string[] = [];
  authorization: string | null = null;
  /** Called before each request is answered: an answer of its own, or nothing. */
  before: (path: string) => Response | undefined = () => undefined;
  /** What went wrong in here; to be empty at the end of a test. */
  wrong: unknown[] = [];
  #server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (r) => this.#answer(r));

  get url(): string {
    const { hostname, port } = this.#server.addr;
    return `http://${hostname}:${port}`;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const path = pathname.replace(/^\/api\/2\.0\/mlflow\//, "");
    this.requests.push(path);
    this.authorization = request.headers.get("authorization");
    const text = await request.text();
    const refusal = this.before(path);
    if (refusal !== undefined) return refusal;
    try {
      const isRead = path === "runs/get" || path === "experiments/get-by-name";
      assert.equal(request.method, isRead ? "GET" : "POST", path);
      if (!isRead) assert.equal(request.headers.get("content-type"), "application/json");
      return this.#handle(path, isRead ? Object.fromEntries(searchParams) : JSON.parse(text));
    } catch (cause) {
      this.wrong.push(cause);
      return refusalOf("INVALID_PARAMETER_VALUE", { status: 400, message: String(cause) });
    }
  }

  // deno-lint-ignore no-explicit-any
  #handle(path: string, body: any): Response {
    const missing = (what: string) =>
      refusalOf("RESOURCE_DOES_NOT_EXIST", { status: 404, message: `no ${what}` });
    const run = this.runs[body.run_id];
    switch (path) {
      case "experiments/get-by-name": {
        const id = this.experiments[body.experiment_name];
        if (id === undefined) return missing(body.experiment_name);
        return Response.json({ experiment: { experiment_id: id, lifecycle_stage: "active" } });
      }
      case "experiments/create":
        assert.deepEqual(Object.keys(body), ["name"]);
        this.experiments[body.name] = `e${Object.keys(this.experiments).length}`;
        return Response.json({ experiment_id: this.experiments[body.name] });
      case "runs/create": {
        assert.ok(Object.values(this.experiments).includes(body.experiment_id));
        assert.ok(Number.isInteger(body.start_time));
        const id = `r${Object.keys(this.runs).length}`, { experiment_id: experiment } = body;
        const empty = { parameters: {}, metrics: [] };
        this.runs[id] = { experiment, name: body.run_name, status: "RUNNING", ...empty };
        return Response.json({ run: { info: { run_id: id, experiment_id: experiment } } });
      }
      case "runs/get": {
        if (run === undefined) return missing(`run ${body.run_id}`);
        const params = Object.entries(run.parameters).map(([key, value]) => ({ key, value }));
        const info = { run_id: body.run_id, experiment_id: run.experiment };
        return Response.json({ run: { info, data: { params } } });
      }
      case "runs/log-batch":
        if (run === undefined) return missing(`run ${body.run_id}`);
        assert.ok(body.metrics.length <= 1000 && body.params.length <= 100);
        for (const { key, value } of body.params) {
          assert.equal(typeof value, "string");
          run.parameters[key] = value;
        }
        for (const metric of body.metrics) {
          assert.deepEqual(Object.keys(metric).sort(), ["key", "step", "timestamp", "value"]);
          assert.ok(Number.isInteger(metric.step) && Number.isInteger(metric.timestamp));
          assert.match(metric.key, /^[\w./ -]+$/);
          if (typeof metric.value === "string") assert.match(metric.value, /^NaN$|^-?Infinity$/);
          else assert.equal(typeof metric.value, "number");
        }
        run.metrics.push(...body.metrics);
        return Response.json({});
      case "runs/update":
        if (run === undefined) return missing(`run ${body.run_id}`);
        assert.equal("end_time" in body, body.status !== "RUNNING");
        run.status = body.status;
        return Response.json({ run_info: {} });
      default:
        throw new Error(`no such call: ${path}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    assert.deepEqual(this.wrong, []);
  }
}

/** MLflow's form of an error. */
export function refusalOf(
  code: string,
  { status, message }: { status: number; message: string },
): Response {
  return Response.json({ error_code: code, message }, { status });
}
