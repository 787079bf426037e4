/** Text in pieces to whole lines, without their ends; the last line may lack one. For `peers.ts`. */

/** Splits a stream of text at line ends. */
export class TextLineStream extends TransformStream<string, string> {
  constructor() {
    let rest = "";
    super({
      transform(piece, out) {
        const lines = (rest + piece).split("\n");
        rest = lines.pop()!;
        for (const line of lines) out.enqueue(line);
      },
      flush(out) {
        if (rest !== "") out.enqueue(rest);
      },
    });
  }
}
