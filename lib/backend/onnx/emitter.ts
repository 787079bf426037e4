/**
 * ONNX nodes and initialisers as they are written down, with names nobody chose and constants kept once. What to
 * write for an op is `lower.ts`; the bytes are `protobuf.ts`.
 */
import type { HostArray, Shape } from "../../graph/node.ts";
import type { OnnxAttribute, OnnxInitializer, OnnxNode } from "./protobuf.ts";
import type { OrtType } from "./runtime.ts";

/** Domain of ONNX Runtime's own operators. */
export const MICROSOFT = "com.microsoft";

type Attributes = Record<string, OnnxAttribute>;

/** Collects ONNX nodes and initialisers while the table is walked. */
export class Emitter {
  /** @param standard Operators of the ONNX standard only, for other runtimes than ONNX Runtime. */
  constructor(readonly standard: boolean) {}

  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  #count = 0;
  #numbers = new Map<string, string>();

  fresh(): string {
    return `v${this.#count++}`;
  }

  op(
    type: string,
    inputs: string[],
    { attrs = {}, domain = "", results = 1 }: {
      attrs?: Attributes;
      domain?: string;
      results?: number;
    } = {},
  ): string[] {
    const outputs = Array.from({ length: results }, () => this.fresh());
    this.nodes.push({ op: type, inputs, outputs, attributes: attrs, domain });
    return outputs;
  }

  one(type: string, inputs: string[], attrs: Attributes = {}, domain = ""): string {
    return this.op(type, inputs, { attrs, domain })[0];
  }

  initializer(type: OrtType, data: HostArray | BigInt64Array, shape: Shape): string {
    const name = this.fresh();
    this.initializers.push({ name, type, shape, data });
    return name;
  }

  /** Integers as an i64 vector: axes, shapes, perms. The same ones are written once. */
  integers(values: readonly number[]): string {
    const key = `i64 ${values}`;
    let name = this.#numbers.get(key);
    if (name === undefined) {
      name = this.initializer("i64", BigInt64Array.from(values.map(BigInt)), [values.length]);
      this.#numbers.set(key, name);
    }
    return name;
  }

  /** An i64 scalar: an index. */
  scalar(value: number): string {
    const key = `i64 scalar ${value}`;
    let name = this.#numbers.get(key);
    if (name === undefined) {
      name = this.initializer("i64", BigInt64Array.of(BigInt(value)), []);
      this.#numbers.set(key, name);
    }
    return name;
  }

  number(value: number): string {
    const key = `f32 ${value}`;
    let name = this.#numbers.get(key);
    if (name === undefined) {
      name = this.initializer("f32", Float32Array.of(value), []);
      this.#numbers.set(key, name);
    }
    return name;
  }
}
