import * as v from "valibot";
import { AppError } from "./error.ts";
import { Pin } from "./pin.ts";

const PREFIX = "fhi_";
const MAX_CHARACTERS = 4096;

/** What one line tells a client, so that it can join: where the server is, by what it knows it, and what it may trade for a token. */
export const Invite = v.object({
  /** A name for the host, for whoever chooses none. */
  name: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][\w.-]{0,62}$/)),
  /** Where it may answer, the likeliest first. */
  urls: v.pipe(v.array(v.pipe(v.string(), v.url())), v.minLength(1), v.maxLength(16)),
  /** Absent where an authority vouches for the server, or where it has no TLS. */
  pin: v.optional(Pin),
  /** Good once, and not for long. */
  secret: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)),
});
export type Invite = v.InferOutput<typeof Invite>;

export function formatInvite(invite: Invite): string {
  return PREFIX + Buffer.from(JSON.stringify(invite)).toString("base64url");
}

/** Reads an invitation's line. Throws `invalid_input`. */
export function parseInvite(line: string): Invite {
  const text = line.trim();
  const refused = new AppError(
    "invalid_input",
    "Cannot read the invitation: copy the whole line that farhandd invite printed",
  );
  if (!text.startsWith(PREFIX) || text.length > MAX_CHARACTERS) throw refused;
  try {
    const json: unknown = JSON.parse(Buffer.from(text.slice(PREFIX.length), "base64url").toString());
    return v.parse(Invite, json);
  } catch {
    throw refused;
  }
}

/** `POST /v1/join` and `POST /v1/login`: what a secret is traded for a token with. */
export const JoinRequest = v.strictObject({
  secret: v.string(),
  client: v.optional(v.pipe(v.string(), v.maxLength(64))),
});
export const LoginRequest = v.strictObject({
  user: v.pipe(v.string(), v.maxLength(64)),
  password: v.pipe(v.string(), v.maxLength(1024)),
  client: v.optional(v.pipe(v.string(), v.maxLength(64))),
});

/** What both answer. The token is told this once. */
export const Admission = v.object({
  token: v.string(),
  /** Its name on the server, by which it can be revoked. */
  name: v.string(),
  user: v.string(),
  /** Milliseconds since 1970, as far as a date goes; absent for never. */
  expires: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(8.64e15))),
});
export type Admission = v.InferOutput<typeof Admission>;
