/**
 * Tests lib/data/published_suites.ts against a server on loopback: fetched once, then read from the cache; a file that
 * changed is refused; errors that may pass are tried again; folders in the authors' layout.
 */
import { deepEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { join } from "node:path";
import { fetchSuite, suiteFileIn } from "../../lib/data/published_suites.ts";
import { loadSuite } from "../../lib/data/suites.ts";

const QUESTIONS = '{"question_id":81,"category":"w","turns":["one","two"]}\n{"turns":["three"]}\n';

/** A server that gives one answer after the other, the last one for ever; and an empty cache. */
async function withServer(
  answers: (() => Response)[],
  use: (at: { url: string; folder: string; asked: string[]; patience: number }) => Promise<void>,
): Promise<void> {
  const asked: string[] = [], folder = await Deno.makeTempDir();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    asked.push(new URL(url).pathname);
    return answers[Math.min(asked.length, answers.length) - 1]();
  });
  try {
    const url = `http://127.0.0.1:${server.addr.port}/data/`;
    await use({ url, folder, asked, patience: 1 });
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

const file = (text = QUESTIONS) => () => new Response(text);
const status = (code: number) => () => new Response("no", { status: code });

Deno.test("a suite is fetched once and then read from the cache, all its turns", async () => {
  await withServer([file()], async ({ asked, ...fetching }) => {
    for (let time = 0; time < 2; time++) {
      deepEqual(await loadSuite("mt_bench", { fetching }), {
        name: "mt_bench",
        questions: [
          { id: "81", category: "w", text: "one", later: ["two"] },
          {
            id: join(fetching.folder, "mt_bench/question.jsonl:2"),
            category: "none",
            text: "three",
          },
        ],
      });
    }
    const { questions } = await loadSuite("mt_bench", { fetching, turns: 1, count: 1 });
    deepEqual(questions, [{ id: "81", category: "w", text: "one" }]);
    deepEqual(asked, ["/data/mt_bench/question.jsonl"]);
    const left = await Array.fromAsync(Deno.readDir(join(fetching.folder, "mt_bench")));
    deepEqual(left.map((f) => f.name).sort(), ["first_fetch.json", "question.jsonl"]);
  });
});

Deno.test("a file that differs from the first one is refused, in the cache and where it is from", async () => {
  await withServer([file(), file(QUESTIONS + "\n")], async ({ asked, ...fetching }) => {
    const path = await fetchSuite("qa", fetching);
    await Deno.remove(path);
    await rejects(
      fetchSuite("qa", fetching),
      /Cannot use suite qa from http.*qa\/question\.jsonl: its sha256 is [0-9a-f]{64}, on .* it was [0-9a-f]{64}/,
    );
    await rejects(Deno.stat(path), Deno.errors.NotFound);
    await Deno.writeTextFile(path, QUESTIONS.replace("one", "won"));
    await rejects(fetchSuite("qa", fetching), /Cannot use suite qa from .*question\.jsonl: its/);
    await Deno.writeTextFile(path, QUESTIONS);
    equal(await fetchSuite("qa", fetching), path);
    equal(asked.length, 2);
  });
});

Deno.test("failures that may pass are tried again, others are told at once, with the way around", async () => {
  let sent = false;
  const pull = (to: ReadableStreamDefaultController) => {
    if (sent) to.error(new Error("cut"));
    else to.enqueue(new TextEncoder().encode(QUESTIONS.slice(0, 20)));
    sent = true;
  };
  const cut = () => new Response(new ReadableStream({ pull }));
  await withServer([status(503), status(429), cut, file()], async ({ asked, ...fetching }) => {
    const path = await fetchSuite("sum", fetching);
    deepEqual([asked.length, await Deno.readTextFile(path)], [4, QUESTIONS]);
  });
  const refused: [() => Response, RegExp, number][] = [
    [status(404), /: the answer was 404, wanted the file; where it .* --suite-dir DIR with sum/, 1],
    [status(500), /: the answer was 500/, 4],
    [file("<html>"), /: found something else, wanted questions/, 1],
    [file('{"turns":["a"]}\n{}'), /: found something else, wanted questions/, 1],
    [file(""), /: found something else, wanted questions/, 1],
  ];
  for (const [answer, message, times] of refused) {
    await withServer([answer], async ({ asked, ...fetching }) => {
      await rejects(fetchSuite("sum", fetching), message);
      equal(asked.length, times);
      await rejects(Deno.stat(join(fetching.folder, "sum")), Deno.errors.NotFound);
    });
  }
  // Nobody listens on port 1.
  const folder = await Deno.makeTempDir();
  const nobody = fetchSuite("sum", { folder, url: "http://127.0.0.1:1", patience: 1 });
  await rejects(
    nobody,
    /Cannot fetch suite sum from http:\/\/127\.0\.0\.1:1\/sum\/question\.jsonl: /,
  );
});

Deno.test("a folder holds suites in the authors' layout or as single files; nothing is fetched", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(join(folder, "mt_bench"));
  await Deno.writeTextFile(join(folder, "mt_bench/question.jsonl"), QUESTIONS);
  await Deno.writeTextFile(join(folder, "mine.jsonl"), '{"turns":["a"]}');
  const suite = await loadSuite("mt_bench", { folder });
  deepEqual([suite.name, suite.questions.map((q) => q.text)], ["mt_bench", ["one", "three"]]);
  equal((await loadSuite("mine", { folder })).name, "mine");
  throws(
    () => suiteFileIn(folder, "gsm8k"),
    /Cannot read suite gsm8k: found neither .*gsm8k.question\.jsonl nor .*gsm8k\.jsonl/,
  );
  await rejects(loadSuite("gsm8k", { folder }), /Cannot read suite gsm8k: found neither/);
  equal((await loadSuite("ours", { folder, count: 2 })).name, "ours");
  equal((await loadSuite(join(folder, "mine.jsonl"), { folder })).name, "mine");
});

Deno.test("the place that suites come from can be set", async () => {
  await withServer([file()], async ({ url, folder, asked }) => {
    Deno.env.set("GRIFFIN_SUITES_URL", url);
    try {
      match(await fetchSuite("alpaca", { folder }), /alpaca.question\.jsonl$/);
      ok(asked[0].endsWith("/data/alpaca/question.jsonl"));
    } finally {
      Deno.env.delete("GRIFFIN_SUITES_URL");
    }
  });
});
