/**
 * The chat page in a headless Chromium against a server with a tiny model: what a person does, by mouse and keyboard,
 * in one tab and two, with a model that writes markup and a server that goes away. Skipped where no Chromium is found.
 */
import assert from "node:assert/strict";
import { parseTrace } from "../../lib/report/trace.ts";
import { openChatServer } from "../../lib/serve/server.ts";
import { Browser, findChromium, type Tab } from "./browser.ts";
import { DEFAULTS, openWorld, until } from "./world.ts";

const chromium = findChromium();

/** Sets a field as a person would have. */
const set = (name: string, value: string | number) =>
  `(() => { const field = document.querySelector("#settings [name=${name}]"); field.value = ${
    JSON.stringify(`${value}`)
  }; field.dispatchEvent(new Event("input", { bubbles: true })); })()`;

const DONE = `document.getElementById("log").getAttribute("aria-busy") === null &&
  document.getElementById("stop").hidden`;
const ANSWERS = `[...document.querySelectorAll(".message.assistant")]`;
const LAST = `${ANSWERS}.at(-1)`;
const TEXT = `${LAST}.querySelector(".side:last-of-type .text").textContent`;

async function askFor(tab: Tab, text: string): Promise<void> {
  await tab.click("#ask");
  await tab.type(text);
  await tab.press("Enter");
}

const name = "the chat page in a browser" +
  (chromium === undefined ? ": not run (no Chromium on the path, and CHROMIUM names none)" : "");

Deno.test({ name, ignore: chromium === undefined }, async (t) => {
  const world = await openWorld(), { model, server: { desk, address } } = world;
  await using browser = await Browser.open(chromium!);
  const tab = await browser.tab(address);
  const wait = (holds: string) => tab.until(holds);

  await t.step("sends by Enter, streams, colours what was drafted and accepted", async () => {
    model.slow(3);
    await tab.ask(set("max_tokens", 300));
    await askFor(tab, "What is <b>one</b> & one?");
    await wait(`document.querySelectorAll(".t").length > 20`);
    const early = await tab.ask<number>(`document.querySelectorAll(".t").length`);
    assert.equal(await tab.ask(`document.getElementById("stop").hidden`), false);
    await wait(DONE);
    model.slow(0);
    assert.ok(await tab.ask<number>(`document.querySelectorAll(".t").length`) > early);
    assert.equal(
      await tab.ask(`document.querySelector(".user .text").textContent`),
      "What is <b>one</b> & one?",
    );
    const [accepted, own] = await tab.ask<number[]>(
      `["a", "x"].map((kind) => ${LAST}.querySelectorAll(".t." + kind).length)`,
    );
    assert.ok(accepted > 0 && own > 0, `${accepted} accepted, ${own} own`);
    assert.match(
      await tab.ask<string>(`document.getElementById("numbers").textContent`),
      /tokens\/s\d+tau\d\.\d\d/,
    );
  });

  await t.step("tells a token's depth and probability, by mouse and by keyboard", async () => {
    await tab.ask(
      `${LAST}.querySelector(".t.a").dispatchEvent(new PointerEvent("pointerover", { bubbles: true }))`,
    );
    const TIP = `document.getElementById("tip").textContent`;
    assert.match(
      await tab.ask<string>(TIP),
      /^round \d+, depth \d+: drafted and accepted, draft 0\.\d+/,
    );
    await tab.ask(`${LAST}.querySelector(".text").focus()`);
    await tab.press("ArrowRight");
    assert.match(await tab.ask<string>(TIP), /^first token/);
    await tab.press("ArrowRight");
    assert.match(await tab.ask<string>(TIP), /^round 1, depth 1/);
    await tab.press("Enter");
    assert.match(
      await tab.ask<string>(`document.getElementById("where").textContent`),
      /^1 of \d+$/,
    );
  });

  await t.step("draws the tree of each round, replays them", async () => {
    const nodes = `document.querySelectorAll("#tree .node").length`;
    const first = await tab.ask<string>(
      `document.querySelector("#tree svg").getAttribute("aria-label")`,
    );
    assert.match(first, /^\d+ drafted, \d+ accepted; emitted: /);
    await tab.click("#next");
    assert.match(await tab.ask<string>(`document.getElementById("where").textContent`), /^2 of/);
    assert.ok(await tab.ask<number>(nodes) >= 8, "seven drafted, and the root");
    await tab.click("#replay");
    await wait(`document.getElementById("where").textContent.startsWith("3 of")`);
    await tab.click("#replay");
  });

  await t.step("stops by Escape, keeps what came, and frees the model", async () => {
    model.slow(20);
    await tab.ask(set("max_tokens", 2000));
    await askFor(tab, "Go on");
    await wait(`${LAST}.querySelectorAll(".t").length > 5`);
    await tab.press("Escape");
    await wait(DONE);
    await until(() => !desk.line.busy);
    assert.equal(desk.counts.stopped, 1);
    assert.match(await tab.ask<string>(`${LAST}.querySelector(".end").textContent`), /stopped/);
    const kept = await tab.ask<string>(TEXT);
    assert.ok(kept.length > 5);
    model.slow(0);
  });

  await t.step("regenerates the last answer, with the switch off without drafting", async () => {
    await tab.ask(set("max_tokens", 30));
    await tab.click("#mode label:nth-of-type(2)");
    const before = await tab.ask<number>(`${ANSWERS}.length`);
    await tab.press("r", { alt: true });
    await wait(`${LAST}.querySelector(".side.plain") && ${DONE}`);
    assert.equal(await tab.ask<number>(`${ANSWERS}.length`), before);
    const kinds = await tab.ask<string[]>(
      `[...${LAST}.querySelectorAll(".t")].map((t) => t.className)`,
    );
    assert.ok(kinds.length > 5 && kinds.every((kind) => kind === "t p"), kinds.join());
    assert.match(
      await tab.ask<string>(`document.getElementById("tree").textContent`),
      /Nothing was drafted/,
    );
  });

  await t.step("runs both sides on one prompt with a clock each", async () => {
    await tab.click("#mode label:nth-of-type(3)");
    await tab.click("#regenerate");
    await wait(`${LAST}.querySelectorAll(".side").length === 2 && ${DONE}`);
    const [a, b] = await tab.ask<string[]>(
      `[...${LAST}.querySelectorAll(".side .text")].map((side) => side.textContent)`,
    );
    assert.equal(a, b);
    const clocks = await tab.ask<string[]>(
      `[...${LAST}.querySelectorAll(".clock")].map((c) => c.textContent)`,
    );
    for (const clock of clocks) assert.match(clock, /^\d+\.\d\d s$/);
    assert.match(
      await tab.ask<string>(`${LAST}.querySelector(".note").textContent`),
      /times .*the same text/,
    );
  });

  await t.step("saves a trace that can be read, and Markdown", async () => {
    const text = await tab.ask<string>(`(async () => {
      const { promise, resolve } = Promise.withResolvers();
      const make = URL.createObjectURL;
      URL.createObjectURL = (blob) => (blob.text().then(resolve), make(blob));
      document.getElementById("trace").click();
      URL.createObjectURL = make;
      return await promise;
    })()`);
    const { generations } = parseTrace(text);
    assert.deepEqual(generations.map((g) => g.start.settings.method), [
      "speculative",
      "plain",
      "speculative",
    ]);
    assert.ok(generations[2].rounds.every((r) => r.trace !== undefined));
    const copied = await tab.ask<string>(`(async () => {
      const { promise, resolve } = Promise.withResolvers();
      navigator.clipboard.writeText = (text) => (resolve(text), Promise.resolve());
      document.getElementById("copy").click();
      return await promise;
    })()`);
    assert.match(copied, /^# What is <b>one<\/b> & one\?\n\n\*\*You\*\*/);
  });

  await t.step("after a reload all is there but the trees", async () => {
    const before = await tab.ask<string[]>(`${ANSWERS}.map((a) => a.textContent)`);
    const mode = `document.querySelector("input[name=mode]:checked").value`;
    await tab.goTo(address);
    assert.deepEqual(await tab.ask(`${ANSWERS}.map((a) => a.textContent)`), before);
    assert.equal(await tab.ask(mode), "both");
    assert.ok(await tab.ask<number>(`document.querySelectorAll(".t.a").length`) > 0);
    assert.match(
      await tab.ask<string>(`document.getElementById("tree").textContent`),
      /no longer known/,
    );
  });

  await t.step(
    "two tabs: the other one sees what is asked here; both wait in the line",
    async () => {
      const other = await browser.tab(address);
      await tab.toFront();
      await tab.click("#mode label:nth-of-type(1)");
      await tab.ask(set("max_tokens", 1500));
      await tab.press("n", { alt: true });
      model.slow(30);
      await askFor(tab, "In the first tab");
      await wait(`${LAST}.querySelectorAll(".t").length > 5`);
      await other.until(
        `[...document.querySelectorAll("#list .title")].some((t) => t.textContent === "In the first tab")`,
      );
      await other.toFront();
      await other.press("n", { alt: true });
      await other.ask(set("max_tokens", 10));
      await askFor(other, "In the second tab");
      await other.until(
        `/In the line: 1 before you/.test(document.getElementById("status").textContent)`,
      );
      await tab.press("Escape");
      await other.until(`document.querySelectorAll(".assistant .t").length > 5 && ${DONE}`);
      await wait(DONE);
      const titles =
        `[...document.querySelectorAll("#list .title")].map((t) => t.textContent).sort().slice(0, 2)`;
      assert.deepEqual(await tab.ask(titles), ["In the first tab", "In the second tab"]);
      assert.deepEqual(await other.ask(titles), ["In the first tab", "In the second tab"]);
      assert.equal(
        await tab.ask(`document.querySelector(".user .text").textContent`),
        "In the first tab",
      );
      assert.deepEqual(other.complaints, []);
      await other.send("Page.close");
    },
  );

  await t.step("a model that writes markup writes text", async () => {
    const honest = model.tokenizer.decode;
    const evil = [
      '<img src=x onerror="globalThis.hacked = 1">',
      "</span></div><script>globalThis.hacked = 1</script>",
      '<svg onload="hacked=1">&lt;\u202e\u0000',
    ];
    model.tokenizer.decode = (ids) => Array.from(ids, (id) => evil[id % 3]).join("");
    try {
      await tab.ask(set("max_tokens", 40));
      await tab.press("n", { alt: true });
      await askFor(tab, evil[0]);
      await wait(`document.querySelectorAll(".assistant .t").length > 20 && ${DONE}`);
      await tab.click("#previous");
    } finally {
      model.tokenizer.decode = honest;
    }
    const text = await tab.ask<string>(TEXT);
    for (const one of evil) assert.ok(text.includes(one), text.slice(0, 300));
    assert.deepEqual(
      await tab.ask(
        `[globalThis.hacked, document.querySelectorAll("img, .text script, #tree script").length]
        .map(String)`,
      ),
      ["undefined", "0"],
    );
    // The policy would have stopped it too: markup cannot even be assigned.
    await assert.rejects(
      tab.ask(`document.getElementById("log").innerHTML = "<b>x</b>"`),
      /TrustedHTML/,
    );
    tab.complaints.length = 0; // that attempt
  });

  await t.step("clears a conversation, and opens another from the list", async () => {
    const count = `document.querySelectorAll("#list li").length`,
      before = await tab.ask<number>(count);
    await tab.click("#clear");
    assert.equal(await tab.ask(count), before - 1);
    assert.equal(await tab.ask(`${ANSWERS}.length`), 0);
    await tab.click("#list li:last-child .title");
    assert.ok(await tab.ask<number>(`${ANSWERS}.length`) > 0);
  });

  await t.step(
    "another chat can be opened while an answer comes: it is stopped and kept",
    async () => {
      const log = `document.getElementById("log").textContent`;
      model.slow(20);
      await tab.ask(set("max_tokens", 2000));
      await tab.press("n", { alt: true });
      await askFor(tab, "Left behind");
      await wait(`${LAST}.querySelectorAll(".t").length > 5`);
      await tab.click("#list li:last-child .title");
      assert.doesNotMatch(await tab.ask<string>(log), /Left behind/);
      await until(() => !desk.line.busy);
      model.slow(0);
      await wait(DONE);
      await tab.click("#list li:first-child .title");
      assert.match(await tab.ask<string>(log), /Left behind/);
      assert.match(await tab.ask<string>(`${LAST}.querySelector(".end").textContent`), /stopped/);
    },
  );

  await t.step("a question that the model cannot hold is refused in words", async () => {
    await tab.press("n", { alt: true });
    await askFor(tab, "word ".repeat(4000));
    await wait(`!document.getElementById("banner").hidden && ${DONE}`);
    const told = await tab.ask<string>(`document.getElementById("banner").textContent`);
    assert.match(told, /the conversation has \d+ tokens, the model knows 2048 positions/);
    assert.equal(await tab.ask(`${ANSWERS}.length`), 0);
    tab.complaints.length = 0; // the browser's own word of the refusal
  });

  await t.step(
    "a server that goes away in the midst is waited for; what came is kept",
    async () => {
      await tab.ask(set("max_tokens", 2000));
      await tab.press("n", { alt: true });
      model.slow(20);
      await askFor(tab, "Before the fall");
      await wait(`${LAST}.querySelectorAll(".t").length > 5`);
      const { port } = new URL(address), instance = `document.documentElement.dataset.server`;
      const first = await tab.ask<string>(instance);
      // As by a kill: connections are cut.
      await world.server.kill();
      await wait(`!document.getElementById("banner").hidden && ${DONE}`);
      assert.match(await tab.ask<string>(`${LAST}.textContent`), /connection to the server broke/);
      assert.ok((await tab.ask<string>(TEXT)).length > 5);
      await using again = await openChatServer({ model, defaults: DEFAULTS, port: Number(port) });
      await wait(
        `${instance} !== ${JSON.stringify(first)} && document.getElementById("banner").hidden`,
      );
      await tab.ask(set("max_tokens", 20));
      await tab.click("#regenerate");
      await wait(`${LAST}.querySelectorAll(".t").length > 5 && ${DONE}`);
      assert.equal(again.desk.counts.answered, 1);
      assert.doesNotMatch(await tab.ask<string>(`${LAST}.textContent`), /broke/);
    },
  );

  await t.step("on a phone nothing is wider than the screen, panels open and close", async () => {
    await tab.send("Emulation.setDeviceMetricsOverride", {
      width: 400,
      height: 800,
      deviceScaleFactor: 1,
      mobile: true,
    });
    assert.equal(await tab.ask(`document.documentElement.scrollWidth`), 400);
    const shown = `getComputedStyle(document.getElementById("panel")).display`;
    assert.equal(await tab.ask(shown), "none");
    await tab.click("#open-panel");
    assert.equal(await tab.ask(shown), "block");
    await tab.click("#panel .close");
    assert.equal(await tab.ask(shown), "none");
  });

  const unexpected = tab.complaints.filter((c) => !/net::ERR_|Failed to load resource/.test(c));
  assert.deepEqual(unexpected, []);
  await world.server.kill();
  model[Symbol.dispose]();
});
