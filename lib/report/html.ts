/** Text made safe for HTML. What is made of it: `page.ts`, `samples.ts`. */

/** Text made safe for HTML: for elements and for quoted attributes. */
export function escapeHtml(text: string): string {
  const safe: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (c) => safe[c]);
}
