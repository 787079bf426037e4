/**
 * A kernel: a page of WGSL and its launch geometry. The page calls functions it does not declare (`a_at`, `put`);
 * whoever launches it declares them, so that operands are read through any view or elementwise chain without being
 * written to memory first. Sizes are constants of the text: a shape is compiled once. The pages: README.md here.
 */

/** A launch of a page. */
export interface Kernel {
  /** Name of the page: the file without `.wgsl`. */
  readonly name: string;
  /** The page. */
  readonly text: string;
  /** Sizes and choices, declared before the page. */
  readonly constants: Readonly<Record<string, number | string>>;
  /** Workgroups to dispatch. */
  readonly groups: readonly [number, number, number];
}

/** Workgroups of one dimension at most, in every implementation. */
const LARGEST = 65535;

/** So many workgroups in two dimensions; pages number them `group.y * groups.x + group.x` and skip those too many. */
export function spread(groups: number): [number, number, number] {
  if (groups <= LARGEST) return [Math.max(1, groups), 1, 1];
  const rows = Math.ceil(groups / LARGEST);
  return [Math.ceil(groups / rows), rows, 1];
}

/** The whole shader: constants, bindings, the functions that the page asks for, the page. */
export function shaderOf(
  { name, text, constants }: Kernel,
  { bindings, functions }: { bindings: string; functions: readonly string[] },
): string {
  const sizes = Object.entries(constants)
    .map(([key, value]) => `const ${key} = ${typeof value === "number" ? `${value}u` : value};`);
  return [`// ${name}`, ...sizes, bindings, ...functions, text].join("\n");
}
