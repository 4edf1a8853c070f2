import { after } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";
import { parseForeignJson } from "../../protocol/json.ts";
import { BODY_TIMEOUT } from "../../protocol/limits.ts";

/**
 * The JSON of a request's body, however slowly that drips in; undefined where there is none. What it may take, the listener
 * says. Throws `invalid_input`, also for one that does not come in time, and `connection_lost`.
 */
export async function readJson(request: Request): Promise<unknown> {
  const text = await readText(request);
  return text === "" ? undefined : parseForeignJson(text, refuse);
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
