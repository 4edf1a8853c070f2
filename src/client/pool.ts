import { defaultConfigHome } from "../lib/config-home.ts";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_PORT } from "../protocol/limits.ts";
import { parsePin } from "../protocol/pin.ts";
import type { Environment } from "./config.ts";
import { parseHost } from "./host.ts";
import { findHost, readHosts } from "./hosts.ts";
import type { Login } from "./logins.ts";
import { Member, type MemberPlace } from "./member.ts";
import { findWorkspace } from "./workspace.ts";

export interface AddOptions {
  /** Of an address without one (default 9922). */
  readonly port?: number;
  /** Without, the environment's, that which is kept with the host, or a local server's own. */
  readonly token?: string;
  /** Instead of a token: it is traded for one at the first connection, and again when that has expired. */
  readonly user?: string;
  readonly password?: string;
  /** A file (PEM) of the authorities that may vouch for the server, instead of this machine's. */
  readonly ca?: string;
  /** The only key that the server may have, as `farhandd fingerprint` prints it; its names do not matter then. */
  readonly pin?: string;
  /** Let an address beyond this machine be without TLS: whoever is on the way reads the token and everything else. */
  readonly insecure?: boolean;
  /** Files (PEM) of our own certificate and its key, where the server wants one. */
  readonly clientCert?: string;
  readonly clientKey?: string;
  /**
   * Names a workspace: the directory and environment that `cd` and `env` change and everything else runs in. Without, each
   * connection has one of its own, which begins at the server user's home.
   */
  readonly workspace?: string;
}

/** The servers that a program works with. Disposing it closes them all. */
export class Pool implements AsyncDisposable {
  readonly #members = new Map<string, Member>();
  readonly #env: Environment;

  /** `env`: where `FARHAND_TOKEN`, `FARHAND_CA`, `FARHAND_STATE` and `FARHAND_CONFIG_HOME` are looked up. */
  constructor(env: Environment = process.env) {
    this.#env = env;
  }

  /**
   * Makes a server known by the name of a host that `farhand host add` or `farhand join` keeps, or by an address: `name`,
   * `name:port`, `unix:/path` or URL. The same twice is the same member, unless the workspace is another. Throws
   * `invalid_input`, `already_exists` where it is to be reached by other means.
   */
  add(host: string, options: AddOptions = {}): Member {
    const { port = DEFAULT_PORT, workspace: name, insecure, token, ca, clientCert, clientKey } = options;
    const kept = findHost(readHosts(defaultConfigHome(this.#env)), host);
    const { url } = parseHost(kept?.url ?? host, port, { insecure: insecure ?? kept?.insecure });
    const place: MemberPlace = {
      host: kept?.name ?? url,
      token,
      login: toLogin(options),
      ca,
      pin: options.pin === undefined ? undefined : parsePin(options.pin, "pin"),
      insecure,
      clientCert,
      clientKey,
      workspace: name === undefined ? undefined : findWorkspace(name, {}),
    };
    const key = `${url} ${name ?? ""}`;
    const known = this.#members.get(key);
    if (known !== undefined) return known.as(place);
    const forget = () => this.#members.delete(key);
    const member = new Member(url, place, this.#env, forget);
    this.#members.set(key, member);
    return member;
  }

  /** Closes every member. */
  async close(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => member.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function toLogin({ user, password, token }: AddOptions): Login | undefined {
  if (user === undefined && password === undefined) return undefined;
  if (user !== undefined && password !== undefined && token === undefined) return { user, password };
  throw new AppError("invalid_input", "Cannot log in: give user and password, or a token instead of both");
}
