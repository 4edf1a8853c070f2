import * as v from "valibot";
import { formatDuration } from "../lib/duration.ts";
import { AppError, ErrorBody } from "../protocol/error.ts";
import type { Target } from "./config.ts";
import type { Answer } from "./request.ts";

/** Characters of a sentence of theirs that are passed on. */
const MAX_SENTENCE = 500;

/** What a person is told of an answer that is not what was asked for. Of its body nothing is shown but a sentence of farhandd's. */
export function toRefusal(target: Target, answer: Answer): AppError {
  const { status, retryAfter } = answer;
  const cannot = `Cannot connect to ${target.host.url}`;
  if (status === 401) return refuseToken(target, cannot);
  if (status === 429) {
    const when = retryAfter === undefined ? "try again later" : `try again in ${formatDuration(retryAfter)}`;
    const why = `it has refused too much from here lately; ${when} (HTTP status 429)`;
    return new AppError("too_many", `${cannot}: ${why}`, { details: { retryAfter } });
  }
  // What farhandd says to a request that is no upgrade, which ours was: somebody in between made it one.
  if (status === 426)
    return new AppError(
      "unavailable",
      `${cannot}: no WebSocket gets through to it; a gateway in between must pass on upgrades (HTTP status 426)`,
    );
  const said = status >= 400 ? v.safeParse(ErrorBody, answer.json) : undefined;
  if (said?.success === true) {
    const { code, message } = said.output;
    return new AppError(code, `${cannot}: ${toSentence(message)}`);
  }
  return new AppError("unavailable", `${cannot}: ${describe(status)} (HTTP status ${status})`);
}

function refuseToken({ token, isLocal, name }: Target, cannot: string): AppError {
  const why =
    token === undefined ? "it asks for a token" : `it refuses the token${isLocal ? " in local.json" : ""}`;
  const kept = name === undefined ? "" : `run farhand login ${name}, join by an invitation, or `;
  const advice = `; ${kept}set FARHAND_TOKEN to a valid one`;
  const isRestarted = isLocal && token !== undefined;
  return new AppError("unauthenticated", `${cannot}: ${why}${isRestarted ? "" : advice}`, {
    details: { isLocal },
  });
}

function describe(status: number): string {
  if (status >= 300 && status < 400) return "no farhandd answers there but a redirect, which is not followed";
  switch (status) {
    case 403:
      return "it refuses everybody, or everybody from here; no farhandd answers there";
    case 407:
      return "a proxy answers there that wants a login; farhand goes through none";
    case 502:
    case 503:
    case 504:
      return "a gateway answers there that does not reach the server behind it";
    default:
      return "no farhandd answers there";
  }
}

/** Theirs, on one line and not for ever. */
function toSentence(message: string): string {
  const line = message.replace(/\s+/g, " ");
  return line.length > MAX_SENTENCE ? `${line.slice(0, MAX_SENTENCE)}…` : line;
}
