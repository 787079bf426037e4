/**
 * A notebook as one page that needs nothing else: text, code and the static picture of every output. For reading and
 * printing; interactive figures are for JupyterLab. Called by `lib/cli/notebooks.ts`.
 */
import { marked } from "marked";
import { type Notebook, type Output, textOf } from "./document.ts";
import { uncoloured } from "./traceback.ts";

const escaped = (text: string) =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]!);

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.6 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: 0.7rem 1rem; border-radius: 6px; font-size: 0.85rem; line-height: 1.45; }
pre.code { background: var(--soft); border-left: 3px solid var(--line); }
pre.error { color: #b3261e; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; }
.output { margin: 0.5rem 0 1.5rem; overflow-x: auto; }
.output svg, .output img { max-width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { padding: 0.2rem 0.8rem; border-bottom: 1px solid var(--line); }
@media print { pre { white-space: pre-wrap; } .output { break-inside: avoid; } }`;

/** The best static form of what an output holds. */
function bundleHtml(data: Record<string, unknown>): string {
  const text = (type: string) => {
    const found = data[type];
    return typeof found === "string" || Array.isArray(found) ? textOf(found) : undefined;
  };
  const svg = text("image/svg+xml"), png = text("image/png"), html = text("text/html");
  if (svg !== undefined) return svg.replace(/^\s*<\?xml[^>]*>\s*/, "");
  if (png !== undefined) return `<img alt="figure" src="data:image/png;base64,${png.trim()}">`;
  if (html !== undefined) return html;
  const markdown = text("text/markdown");
  if (markdown !== undefined) return marked.parse(markdown, { async: false });
  return `<pre>${escaped(uncoloured(text("text/plain") ?? ""))}</pre>`;
}

function outputHtml(output: Output): string {
  if (output.output_type === "stream") {
    return `<pre>${escaped(uncoloured(textOf(output.text)))}</pre>`;
  }
  if (output.output_type === "error") {
    const trace = [`${output.ename}: ${output.evalue}`, ...output.traceback].join("\n");
    return `<pre class="error">${escaped(uncoloured(trace))}</pre>`;
  }
  return bundleHtml(output.data);
}

/** The page. */
export function notebookHtml({ cells }: Notebook, { title }: { title: string }): string {
  const body = cells.map((cell) => {
    const source = textOf(cell.source);
    if (cell.cell_type === "markdown") return marked.parse(source, { async: false });
    if (cell.cell_type !== "code" || source.trim() === "") return "";
    const outputs = (cell.outputs ?? [])
      .map((output) => `<div class="output">${outputHtml(output)}</div>`).join("\n");
    return `<pre class="code"><code>${escaped(source)}</code></pre>\n${outputs}`;
  }).join("\n");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`;
}
