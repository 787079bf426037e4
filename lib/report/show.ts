/**
 * Shows values in a notebook: figures, pictures, tables, pages; and figures that change while something runs. A
 * cell ends with `await show(...)`, not with a value: the kernel may say that it is idle before the last output
 * has gone out, and front ends drop what comes after. What is sent: `bundle.ts`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Bundle, bundleOf, libraryHtml, type Showable } from "./bundle.ts";
import { plotlySource } from "./page.ts";

/** Where bundles go. With `update` an output that is there already changes. */
export interface Screen {
  display(bundle: Bundle, place?: { display_id: string; update: boolean }): Promise<void>;
}

/** Outputs that come later than this after a cell's end were never seen to be on their way. */
const LATE_OUTPUTS_MS = 50;

/** The notebook that this code runs in; undefined outside of one. */
function notebook(): Screen | undefined {
  let jupyter: typeof Deno.jupyter;
  try {
    // Outside of a kernel the getter, or its first use, throws.
    jupyter = Deno.jupyter;
    if (typeof jupyter.display !== "function") return undefined;
  } catch {
    return undefined;
  }
  return {
    display: (bundle, place) => jupyter.display(bundle, { raw: true, ...place }),
  };
}

/** A terminal: the plain form, once. */
const TERMINAL: Screen = {
  display(bundle, place) {
    if (!place?.update) console.log(bundle["text/plain"]);
    return Promise.resolve();
  },
};

const SCREENS_WITH_PLOTLY = new WeakSet<Screen>();
let current: Screen | undefined;
const thisScreen = () => current ??= notebook() ?? TERMINAL;

let count = 0;
const freshName = () => `griffin-lab-${crypto.randomUUID().slice(0, 8)}-${++count}`;

/**
 * Sends a bundle. The first one with a script brings Plotly's code to the document, and is then replaced by itself
 * without: the document keeps what the code defined, the stored notebook does not grow by 1.5 MB.
 */
async function send(screen: Screen, bundle: Bundle, { display_id }: { display_id?: string } = {}) {
  const html = bundle["text/html"];
  const needsPlotly = screen !== TERMINAL && typeof html === "string" &&
    html.includes("window.Plotly") && !SCREENS_WITH_PLOTLY.has(screen);
  if (!needsPlotly) {
    await screen.display(
      bundle,
      display_id === undefined ? undefined : { display_id, update: false },
    );
    return;
  }
  SCREENS_WITH_PLOTLY.add(screen);
  const name = display_id ?? freshName(), library = libraryHtml(await plotlySource());
  await screen.display({ ...bundle, "text/html": html + library }, {
    display_id: name,
    update: false,
  });
  await screen.display(bundle, { display_id: name, update: true });
}

/**
 * Shows a figure, a picture, a table (rows of cells, heading first), a page or a text in the notebook's cell; in a
 * terminal its plain form. Await it: its last act is a short sleep, without which outputs can be lost.
 *
 * @example
 * ```ts
 * import { show } from "./mod.ts";
 *
 * await show([["suite", "tau"], ["ours", 4.73]]);
 * ```
 */
export async function show(
  value: Showable,
  { screen = thisScreen() }: { screen?: Screen } = {},
): Promise<void> {
  await send(screen, bundleOf(value));
  await sleep(LATE_OUTPUTS_MS);
}

/** An output that changes in its place. */
export interface LiveFigure extends AsyncDisposable {
  /**
   * Offers the newest state; drawn if the last drawing is `every` milliseconds old. A function is called only
   * when its value is drawn.
   */
  update(value: Showable | (() => Showable)): Promise<void>;
}

/**
 * An output that is drawn anew as its data grow: `await using live = liveFigure()`, then `live.update(...)` as
 * often as you like. What was offered last is drawn at the end, when the block is left.
 *
 * @example
 * ```ts
 * import { liveFigure } from "./mod.ts";
 *
 * await using live = liveFigure({ every: 200 });
 * for (let i = 0; i < 3; i++) await live.update([["round"], [i]]);
 * ```
 */
export function liveFigure(
  { every = 1000, screen = thisScreen() }: { every?: number; screen?: Screen } = {},
): LiveFigure {
  const display_id = freshName();
  let drawn = -Infinity, begun = false, waiting: Showable | (() => Showable) | undefined;
  const draw = async () => {
    if (waiting === undefined) return;
    const bundle = bundleOf(typeof waiting === "function" ? waiting() : waiting);
    waiting = undefined;
    drawn = performance.now();
    if (begun) await screen.display(bundle, { display_id, update: true });
    else await send(screen, bundle, { display_id });
    begun = true;
  };
  return {
    async update(value) {
      waiting = value;
      if (performance.now() - drawn >= every) await draw();
    },
    async [Symbol.asyncDispose]() {
      await draw();
      await sleep(LATE_OUTPUTS_MS);
    },
  };
}
