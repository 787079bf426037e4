/** The book of kernels: every page has its header, is launched by a neighbour, and is on the map in README.md. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { shaderOf, spread } from "../../kernels/kernel.ts";
import { productKernel } from "../../kernels/matmul.ts";

const ROOM = join(import.meta.dirname!, "../../kernels");
const files = [...Deno.readDirSync(ROOM)].map(({ name }) => name);
const text = (name: string) => Deno.readTextFileSync(join(ROOM, name));
const pages = files.filter((name) => name.endsWith(".wgsl"));

Deno.test("a page opens with what it computes, what the launcher declares, and why it is made so", () => {
  assert.ok(pages.length >= 12, `${pages.length} pages`);
  for (const name of pages) {
    const header = text(name).split("\n").slice(0, 12).filter((line) => line.startsWith("//"));
    assert.match(header[0], /^\/\/ [A-Z].*[:=]/, name);
    assert.ok(header.some((line) => line.includes("Declared by the launcher:")), name);
    assert.ok(header.length >= 4, `${name} does not say why`);
  }
});

Deno.test("every page is launched, and listed in the README of the room", () => {
  const launchers = files.filter((name) => name.endsWith(".ts")).map(text).join("\n");
  for (const name of pages) {
    assert.ok(launchers.includes(`"./${name}"`), `nobody launches ${name}`);
    assert.ok(text("README.md").includes(`\`${name}\``), `README.md leaves out ${name}`);
  }
});

Deno.test("workgroups beyond one dimension spread over two, none is lost", () => {
  assert.deepEqual(spread(7), [7, 1, 1]);
  for (const groups of [65535, 65536, 1_000_003]) {
    const [x, y] = spread(groups);
    assert.ok(x <= 65535 && y <= 65535 && x * y >= groups && x * y < groups + y);
  }
});

Deno.test("few rows take the page that reads the matrix once; constants stand before the page", () => {
  const sizes = { batch: 1, n: 640, k: 256, alpha: 0.5, bAlongK: true };
  assert.equal(productKernel({ ...sizes, m: 8 }).name, "row_product");
  const kernel = productKernel({ ...sizes, m: 9 });
  assert.equal(kernel.name, "matmul");
  const shader = shaderOf(kernel, { bindings: "// none", functions: ["fn put() {}"] });
  assert.ok(shader.indexOf("const M = 9u;") < shader.indexOf("fn put()"));
  assert.ok(shader.indexOf("fn put()") < shader.indexOf("@compute"));
  assert.throws(
    () => productKernel({ ...sizes, m: 64 * 65536 }),
    /Cannot launch a product of 1 x \[4194304,256\] x \[256,640\]: too large/,
  );
});
