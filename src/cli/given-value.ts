import { toMessage } from "../lib/message.ts";
import { fromTagged } from "../protocol/cbor/untag.ts";
import { AppError } from "../protocol/error.ts";
import type { Context } from "./context.ts";
import { readLocalFile } from "./local-file.ts";

/**
 * A value as it is given on the command line: JSON, `@FILE` with JSON in it, or `-` for JSON on our stdin. What JSON cannot
 * say is tagged in it: `{"$date": "…"}`. `what`: what it is called in a sentence. Throws `invalid_input`.
 */
export async function readGivenValue(
  text: string,
  what: string,
  { stdin }: Pick<Context, "stdin">,
): Promise<unknown> {
  if (text === "-") return parse(await readAll(stdin()), `${what} on stdin`);
  if (!text.startsWith("@")) return parse(text, what);
  const file = text.slice(1);
  return parse(await readAll(readLocalFile(file)), `${what} in "${file}"`);
}

async function readAll(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of bytes) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

function parse(text: string, what: string): unknown {
  if (text.trim() === "") throw refused(what, "there is nothing; write JSON, such as {}");
  return fromTagged(parseJson(text, what), what);
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = toMessage(error).replace(/^JSON Parse error: /, "");
    throw refused(what, `it is no JSON (${why}); a text takes quotes of its own: '"text"'`);
  }
}

function refused(what: string, why: string): AppError {
  return new AppError("invalid_input", `Cannot read ${what}: ${why}`);
}
