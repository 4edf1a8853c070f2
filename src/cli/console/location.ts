import * as v from "valibot";
import type { Session } from "../../client/session.ts";
import { abortable } from "../../lib/abort.ts";
import { escapeBytes, escapeControls } from "../../lib/escape.ts";
import { toBytes } from "../../protocol/path.ts";
import { withPatience } from "../complete/patience.ts";
import { ByteString } from "../../protocol/value.ts";

/** Milliseconds that a server has to say where the console is: a prompt should not wait for longer. */
const PATIENCE = 1_000;
/** Characters of a directory that a prompt shows at most. */
const MAX_WIDTH = 40;

const Answer = v.object({ cwd: ByteString });

/** The server and, where it is no private one, the workspace, as a prompt names them. */
export interface Place {
  readonly host: string;
  readonly workspace: string | undefined;
}

/** The workspace's directory, harmless on a terminal; undefined where the server does not tell soon. */
export async function findDirectory(session: Session, signal: AbortSignal): Promise<string | undefined> {
  const ask = (stop: AbortSignal) => session.call("cwd", {}, { signal: stop, isIdempotent: true });
  try {
    const answer = await abortable(withPatience(PATIENCE, ask), signal);
    return escapeBytes(toBytes(v.parse(Answer, answer).cwd));
  } catch {
    return undefined; // it cannot be reached at the moment, or is too old to tell
  }
}

/** What stands before a line: `web1:/srv/app> `, or `web1[build]:/srv/app> ` in a workspace that others may use. */
export function toPrompt(
  { host, workspace }: Place,
  directory: string | undefined,
  hasColors: boolean,
): string {
  const place = `${escapeControls(host)}${workspace === undefined ? "" : `[${workspace}]`}`;
  const where = directory === undefined ? "" : `:${shorten(directory)}`;
  return hasColors ? `\x1b[0;1;32m${place}\x1b[0;1;34m${where}\x1b[0m> ` : `${place}${where}> `;
}

/** The end of a long path says more than its beginning. */
function shorten(directory: string): string {
  if (directory.length <= MAX_WIDTH) return directory;
  const end = directory.slice(-MAX_WIDTH);
  const slash = end.indexOf("/");
  return `…${slash < 0 ? end : end.slice(slash)}`;
}
