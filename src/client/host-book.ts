import { Database } from "bun:sqlite";
import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeWholeFile } from "../lib/whole-file.ts";
import { AppError } from "../protocol/error.ts";
import type { Pin } from "../protocol/pin.ts";
import { findHostToken, type Hosts, readHosts, type StoredHost, toBookPath, toTokenPath } from "./hosts.ts";
import { checkOwnDirectory } from "./own-file.ts";

/** Milliseconds that another client may be changing the hosts. */
const BUSY_TIMEOUT = 5_000;

/** The hosts that a client keeps, for whoever changes them. Each change is made whole or not at all, whatever other clients do. */
export class HostBook {
  readonly #home: string;

  /** `home`: the directory that they are kept in, which is made when it is needed. */
  constructor(home: string) {
    this.#home = home;
  }

  /** Throws what would keep a host from being added under a name: `already_exists`, `state_unusable`. */
  check(name: string, { replaces }: { readonly replaces: boolean }): void {
    this.#change((hosts) => {
      if (!replaces) checkFree(hosts, name);
      this.#write(hosts);
    });
  }

  /** Keeps a host under a name, with its token if there is one. Throws `already_exists`, unless it is to replace another. */
  add(
    name: string,
    host: StoredHost,
    { token, replaces = false }: { token?: string | undefined; replaces?: boolean } = {},
  ): void {
    this.#change((hosts) => {
      if (!replaces) checkFree(hosts, name);
      const before = findHostToken(this.#home, name);
      this.#setToken(name, token); // before its host, which makes it count
      try {
        this.#write(new Map(hosts).set(name, host));
      } catch (error) {
        this.#setToken(name, before);
        throw error;
      }
    });
  }

  /** Keeps the certificate that the owner of this key shows now, if the host is still known by it. */
  keepCertificate(name: string, pin: Pin, certificate: string): void {
    this.#change((hosts) => {
      const known = hosts.get(name);
      if (known?.trust.type !== "pin" || known.trust.pin !== pin) return;
      this.#write(new Map(hosts).set(name, { ...known, trust: { ...known.trust, certificate } }));
    });
  }

  /** Keeps another token for a host, and whose it is. Throws `not_found` for a host that was removed meanwhile. */
  keepLogin(name: string, { token, user }: { readonly token: string; readonly user: string }): void {
    this.#change((hosts) => {
      const known = hosts.get(name);
      if (known === undefined)
        throw new AppError("not_found", `Cannot log in at host "${name}": it was removed meanwhile`);
      this.#setToken(name, token);
      if (known.user !== user) this.#write(new Map(hosts).set(name, { ...known, user }));
    });
  }

  /** Forgets a host's token, and answers whether there was one. */
  removeToken(name: string): boolean {
    return this.#change(() => {
      try {
        rmSync(toTokenPath(this.#home, name));
        return true;
      } catch {
        return false; // there is none
      }
    });
  }

  /** Forgets hosts with their tokens. Throws `not_found`, and then forgets none of them. */
  remove(names: readonly string[]): void {
    this.#change((hosts) => {
      const unknown = names.find((name) => !hosts.has(name));
      if (unknown !== undefined)
        throw new AppError("not_found", `Cannot remove host "${unknown}": none is called so`);
      for (const name of names) rmSync(toTokenPath(this.#home, name), { force: true });
      this.#write(new Map([...hosts].filter(([name]) => !names.includes(name))));
    });
  }

  #change<T>(work: (hosts: Hosts) => T): T {
    try {
      mkdirSync(join(this.#home, "tokens"), { recursive: true, mode: 0o700 });
      checkOwnDirectory(this.#home); // before anything is put there that is of no use then
      using _lock = lock(join(this.#home, "hosts.lock"));
      return work(readHosts(this.#home));
    } catch (error) {
      if (error instanceof AppError || !(error instanceof Error)) throw error;
      throw new AppError("state_unusable", `Cannot change the hosts in "${this.#home}": ${error.message}`, {
        cause: error,
      });
    }
  }

  #write(hosts: Hosts): void {
    const text = JSON.stringify({ version: 1, hosts: Object.fromEntries(hosts) }, null, 2);
    writeWholeFile(toBookPath(this.#home), `${text}\n`);
  }

  #setToken(name: string, token: string | undefined): void {
    const path = toTokenPath(this.#home, name);
    if (token === undefined) rmSync(path, { force: true });
    else writeWholeFile(path, `${token}\n`);
  }
}

/** Also where only capitals differ: on some systems their tokens would be one file. */
function checkFree(hosts: Hosts, name: string): void {
  const taken = [...hosts.keys()].find((known) => known.toLowerCase() === name.toLowerCase());
  if (taken === undefined) return;
  throw new AppError(
    "already_exists",
    `Cannot add host "${name}": there is one called "${taken}"; remove it with farhand host remove ${taken}, or choose another name`,
  );
}

/** Waits for its turn. The lock is the kernel's, so that it goes with its holder. */
function lock(path: string): Disposable {
  closeSync(openSync(path, "a", 0o600)); // before SQLite makes it as the umask has it
  const database = new Database(path);
  try {
    database.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}
