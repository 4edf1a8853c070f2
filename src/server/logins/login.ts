import { readFileSync, realpathSync, statSync } from "node:fs";
import { basename } from "node:path";
import type { Credentials } from "../../process/credentials.ts";
import type { Ground } from "../workspaces/workspace.ts";

/** A user of the machine, as whom something is done. */
export interface Login {
  /** As the configuration calls him. */
  readonly runAs: string;
  /** His name, or number where he has none. */
  readonly name: string;
  readonly credentials: Credentials;
  readonly home: string;
  readonly shell: string;
}

/** Of the server's own variables, those that say how people of this machine write and tell the time. */
const COMMON = /^(?:LANG|LANGUAGE|LC_[A-Z]+|TZ)$/;

/** What login(1) gives a user of Linux, where the machine does not say. */
const DEFAULT_PATH =
  process.platform === "darwin" ? "/usr/bin:/bin:/usr/sbin:/sbin" : "/usr/local/bin:/usr/bin:/bin";

/** What his workspaces are made on: his home, and the environment of a login. Nothing of the server's own secrets is in there. */
export function toGround({ name, home, shell }: Login, own: Readonly<Record<string, string>>): Ground {
  const common = Object.entries(own).filter(([variable]) => COMMON.test(variable));
  return {
    home: findHome(home),
    environment: {
      ...Object.fromEntries(common),
      HOME: home,
      USER: name,
      LOGNAME: name,
      SHELL: shell,
      PATH: readPath(),
    },
  };
}

/** The shell of his login, which a dash before its name tells that it is one. */
export function toLoginShell({ shell }: Login): { readonly file: string; readonly argv: readonly string[] } {
  return { file: shell, argv: [`-${basename(shell)}`] };
}

/** Without links; the root where he has none, as login(1) has it. */
function findHome(home: string): Uint8Array {
  try {
    const found = realpathSync(Buffer.from(home), "buffer");
    if (statSync(found).isDirectory()) return found;
  } catch {
    // See below.
  }
  return Buffer.from("/");
}

/** Reads login.defs(5). */
function readPath(): string {
  try {
    const [, path] = /^\s*ENV_PATH\s+(?:PATH=)?(\/\S*)/m.exec(readFileSync("/etc/login.defs", "utf8")) ?? [];
    return path ?? DEFAULT_PATH;
  } catch {
    return DEFAULT_PATH;
  }
}
