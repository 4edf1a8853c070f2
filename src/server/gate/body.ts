import * as v from "valibot";
import { after } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";
import { parseForeignJson } from "../../protocol/json.ts";
import { BODY_TIMEOUT, MAX_BODY_BYTES } from "../../protocol/limits.ts";

/**
 * The JSON of a request's body, however slowly that drips in; undefined where there is none. The listener takes no more of it
 * than is read here. Throws `invalid_input`, also for one that does not come in time, and `connection_lost`.
 */
export async function readJson(request: Request): Promise<unknown> {
  const text = await readText(request);
  if (Buffer.byteLength(text) > MAX_BODY_BYTES) throw refuse(`has more than ${MAX_BODY_BYTES} bytes`);
  return text === "" ? undefined : parseForeignJson(text, refuse);
}

/**
 * Reads what is posted as JSON and holds a secret. No form of a page can: a browser asks first before it sends this type. Throws
 * `invalid_input`, as above.
 */
export async function readBody<S extends v.GenericSchema>(
  request: Request,
  schema: S,
): Promise<v.InferOutput<S>> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/json(?:\s*;.*)?$/i.test(type))
    throw refuse("must have the content type application/json");
  const parsed = v.safeParse(schema, await readJson(request));
  if (parsed.success) return parsed.output;
  // What was posted is a secret: nothing of it is said again.
  const where = v.getDotPath(parsed.issues[0]);
  throw refuse(
    where === null ? "must be an object as described" : `has "${where}" missing, too long, or unknown`,
  );
}

async function readText(request: Request): Promise<string> {
  const late = Promise.withResolvers<never>();
  using _limit = after(BODY_TIMEOUT, () => late.reject(refuse(`did not come within ${BODY_TIMEOUT} ms`)));
  try {
    return await Promise.race([request.text(), late.promise]);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("connection_lost", "Cannot read the body: it was cut off", { cause: error });
  }
}

function refuse(what: string): AppError {
  return new AppError("invalid_input", `Cannot accept a body: it ${what}`);
}
