import { AppError } from "../../protocol/error.ts";
import type { Directory } from "./directory.ts";
import type { UserEntry } from "./entry.ts";
import type { Login } from "./login.ts";

/** Milliseconds for which a user counts as he was. */
const FRESH = 5_000;

/** A name that no program takes for an option, or for more than one; or a number. */
const NAME = String.raw`[A-Za-z0-9_.][A-Za-z0-9_.@\\-]*\$?`;
const RUN_AS = new RegExp(`^(${NAME})(?::(${NAME}))?$`);

export interface LoginsOptions {
  readonly directory: Directory;
  /** Our own user's number; undefined where users have none. */
  readonly uid: number | undefined;
  /** Milliseconds of any clock. */
  readonly now: () => number;
}

/** Knows as whom roles have things done. Whoever cannot be become is refused: nothing is done as somebody else instead. */
export class Logins {
  readonly #options: LoginsOptions;
  readonly #known = new Map<string, { readonly login: Promise<Login>; readonly at: number }>();

  constructor(options: LoginsOptions) {
    this.#options = options;
  }

  /** `runAs`: `user`, `user:group`, or numbers. Throws `forbidden` where we cannot become him, `invalid_config` where nobody can. */
  async find(runAs: string): Promise<Login> {
    this.#checkAble(runAs);
    const now = this.#options.now();
    const known = this.#known.get(runAs);
    if (known !== undefined && now < known.at + FRESH) return await known.login;
    const login = this.#look(runAs);
    this.#known.set(runAs, { login, at: now });
    try {
      return await login;
    } catch (error) {
      if (this.#known.get(runAs)?.login === login) this.#known.delete(runAs);
      throw error;
    }
  }

  #checkAble(runAs: string): void {
    const { uid } = this.#options;
    if (uid === 0) return;
    const why =
      uid === undefined
        ? "this system offers no way to"
        : `only a server that runs as root can, and this one runs as user ${uid}`;
    throw new AppError("forbidden", `Cannot run as ${JSON.stringify(runAs)}: ${why}`);
  }

  async #look(runAs: string): Promise<Login> {
    const { directory } = this.#options;
    const [, key, groupKey] = RUN_AS.exec(runAs) ?? [];
    if (key === undefined) throw refuse(runAs, 'it is neither "user" nor "user:group"');
    const user = await ask(runAs, directory.findUser(key));
    const uid = user?.uid ?? toNumber(key);
    if (uid === undefined) throw refuse(runAs, "this machine knows no such user");
    if (uid === 0) throw refuse(runAs, "that is root, whom a role without run_as is as well");
    const group = groupKey === undefined ? undefined : await ask(runAs, directory.findGroup(groupKey));
    const gid = groupKey === undefined ? user?.gid : (group?.gid ?? toNumber(groupKey));
    if (gid === undefined) {
      const why =
        groupKey === undefined
          ? "it has no name, and so no group; name one"
          : "this machine knows no such group";
      throw refuse(runAs, why);
    }
    return {
      runAs,
      name: user?.name ?? String(uid),
      credentials: { uid, gid, groups: await this.#listGroups(runAs, user, gid) },
      home: user?.home || "/",
      shell: user?.shell || "/bin/sh",
    };
  }

  /** As initgroups(3) has them: with another primary group than his, that comes in the place of his. */
  async #listGroups(runAs: string, user: UserEntry | undefined, gid: number): Promise<number[]> {
    const groups = user === undefined ? [] : await ask(runAs, this.#options.directory.listGroups(user));
    return [...new Set([gid, ...groups.filter((group) => group === gid || group !== user?.gid)])];
  }
}

/** Throws `unavailable` where nobody answers. */
async function ask<T>(runAs: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (cause) {
    const why = "whoever knows this machine's users does not answer; try again later";
    throw new AppError("unavailable", `Cannot run as ${JSON.stringify(runAs)}: ${why}`, { cause });
  }
}

function refuse(runAs: string, why: string): AppError {
  return new AppError(
    "invalid_config",
    `Cannot run as ${JSON.stringify(runAs)}: ${why}; mend the run_as of the role, or of the command`,
  );
}

function toNumber(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1 ? Number(text) : undefined;
}
