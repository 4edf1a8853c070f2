import * as v from "valibot";
import { abortable, after } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";

/** Bytes of what is posted, and milliseconds in which all of it must come. */
const MAX_BYTES = 8 * 1024;
const PATIENCE = 10_000;
const TOO_LARGE = `Cannot read the request: it has more than ${MAX_BYTES} bytes`;

/**
 * Reads what is posted as JSON. No form of a page can: a browser asks first before it sends this type. Throws `invalid_input`,
 * `timed_out`.
 */
export async function readBody<S extends v.GenericSchema>(
  request: Request,
  schema: S,
): Promise<v.InferOutput<S>> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/json(?:\s*;.*)?$/i.test(type))
    throw new AppError("invalid_input", "Cannot read the request: its content type must be application/json");
  const parsed = v.safeParse(schema, parse(await readBytes(request)));
  if (parsed.success) return parsed.output;
  // What was posted is a secret: nothing of it is said again.
  const where = v.getDotPath(parsed.issues[0]);
  throw new AppError(
    "invalid_input",
    `Cannot read the request: ${where === null ? "it is no object as described" : `"${where}" is missing, too long, or unknown`}`,
  );
}

async function readBytes(request: Request): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = request.body?.getReader();
  if (reader === undefined) return Buffer.alloc(0);
  const limit = new AbortController();
  const late = new AppError("timed_out", `Cannot read the request: it took more than ${PATIENCE / 1_000} s`);
  using _timer = after(PATIENCE, () => limit.abort(late));
  try {
    for (;;) {
      const { done, value } = await abortable(reader.read(), limit.signal);
      if (done) return Buffer.concat(chunks);
      bytes += value.length;
      if (bytes > MAX_BYTES) throw new AppError("invalid_input", TOO_LARGE);
      chunks.push(value);
    }
  } catch (error) {
    reader.cancel().catch(() => {}); // it is refused either way
    throw error;
  }
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new AppError("invalid_input", "Cannot read the request: it is no JSON");
  }
}
