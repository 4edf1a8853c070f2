import { delay } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { findChain, findToken } from "../../protocol/token.ts";
import type { AppOptions } from "../app.ts";
import type { ServerConfig } from "../config.ts";
import type { Reloadable } from "../reload.ts";
import { Admissions } from "./admission.ts";
import { Authenticator } from "./authenticator.ts";
import { type Backend, createTable } from "./backend.ts";
import type { Identity } from "./identity.ts";
import { createLocalToken } from "./local.ts";
import { Module } from "./module.ts";
import { Passwords } from "./passwords.ts";
import type { AuthSettings } from "./settings.ts";
import { Store } from "./store.ts";
import { Tickets } from "./tickets.ts";
import { Turnstile } from "./turnstile.ts";
import type { Uses } from "./uses.ts";

/** Milliseconds between two looks at what others have changed, and between two times that what was used is written down. */
const LOOK_EVERY = 500;
const NOTE_EVERY = 10_000;
/** Milliseconds that a server waits for another process that writes. */
const WRITE_PATIENCE = 200;
/** Passwords that are compared at once, for 64 MiB each, and how many wait for it. */
const COMPARED_AT_ONCE = 2;
const COMPARING_LINE = 16;

export interface DoorOptions {
  readonly state: string;
  /** As it is now. */
  readonly config: () => Pick<ServerConfig, "auth" | "roles">;
  readonly log: Log;
  /** The wall clock. */
  readonly now: () => number;
}

/** Everything of a server that lets somebody in, and sees to it that he leaves. */
export interface Door extends Disposable {
  /** This start's token, for this machine's own user. */
  readonly localToken: string;
  readonly isLocalToken: (presented: string) => boolean;
  readonly uses: Uses;
  readonly app: Pick<AppOptions, "authenticate" | "admissions" | "issueTicket" | "claimTicket">;
  /** What is read anew when the configuration is. */
  readonly parts: readonly Reloadable[];
  /** Whether somebody who was let in still would be. */
  isStanding(identity: Identity): boolean;
  /** Calls `end` with what tells who has to go, whenever somebody may have to; until disposed. */
  watch(end: (isOver: (identity: Identity) => boolean) => void): Disposable;
}

/** Opens the door to whom `auth.db` lets in. Throws `state_unusable`, and `invalid_config` for an `auth.module` of no use. */
export async function openDoor({ state, config, log, now }: DoorOptions): Promise<Door> {
  const { token: localToken, credential: local } = createLocalToken();
  let { roles } = config();
  const store = new Store(state, now);
  forgetUses(store, log);
  store.hurry(WRITE_PATIENCE);
  const authenticator = new Authenticator({ local, store, roles: () => roles, log, now });
  const passwords = new Passwords(new Turnstile(COMPARED_AT_ONCE, COMPARING_LINE));
  const table = createTable(store.users, passwords);
  const openBackend = async ({ module: path }: AuthSettings) =>
    path === undefined ? table : await Module.open({ path, roles: () => roles, log });
  let backend: Backend = await openBackend(config().auth);
  const tickets = new Tickets(now);
  const isStanding = (identity: Identity) => authenticator.isStanding(identity);
  return {
    localToken,
    isLocalToken(presented) {
      const token = findToken(presented);
      return token?.id === local.id && findChain(token, local.key) !== undefined;
    },
    uses: store.uses,
    app: {
      authenticate: (presented, source) => authenticator.authenticate(presented, source),
      admissions: new Admissions({
        store,
        authenticator,
        backend: { check: (claim) => backend.check(claim) },
        loginLifetime: () => config().auth.loginLifetime,
        log,
      }),
      issueTicket: (identity) => tickets.issue(identity),
      claimTicket(offered, source) {
        const identity = tickets.claim(offered);
        return identity && authenticator.move(identity, source);
      },
    },
    parts: [
      {
        // Who has one that is another by now has to come again.
        name: "roles",
        async reload(config) {
          if (Bun.deepEquals(config.roles, roles)) return undefined;
          ({ roles } = config);
          authenticator.refresh();
          return `${[...roles.keys()].join(", ")}`;
        },
      },
      {
        name: "auth.module",
        async reload({ auth }) {
          const isNone = auth.module === undefined && backend === table;
          backend = await openBackend(auth);
          return isNone ? undefined : (auth.module ?? "none: users log in by farhandd user");
        },
      },
    ],
    isStanding,
    watch(end) {
      const over = new AbortController();
      const look = () => {
        if (authenticator.runOnce()) end((identity) => !isStanding(identity));
      };
      for (const [every, work] of [
        [LOOK_EVERY, look],
        [NOTE_EVERY, () => noteUses(store, authenticator, log)],
      ] as const)
        repeat(every, work, log, over.signal).catch(() => {}); // it is over
      return { [Symbol.dispose]: () => over.abort() };
    },
    [Symbol.dispose]() {
      noteUses(store, authenticator, log);
      store[Symbol.dispose]();
    },
  };
}

/** What cannot be forgotten now, on a disk that is full, is at the next start. */
function forgetUses({ uses }: Store, log: Log): void {
  try {
    uses.begin();
  } catch (error) {
    log.warn("uses of tokens that are over not forgotten", { error: describeError(error) });
  }
}

/** What cannot be written down now is not worth a failure: the next use tells again. */
function noteUses({ tokens }: Store, authenticator: Authenticator, log: Log): void {
  const uses = authenticator.takeUses();
  if (uses.size === 0) return;
  try {
    tokens.note(uses);
  } catch (error) {
    log.warn("last uses of tokens not written", { error: describeError(error) });
  }
}

/** Does something every so many milliseconds. What fails is logged, and done again. Ends only by the signal. */
async function repeat(ms: number, work: () => void, log: Log, signal: AbortSignal): Promise<never> {
  for (;;) {
    await delay(ms, signal);
    try {
      work();
    } catch (error) {
      log.error("looking after tokens failed", { error: describeError(error) });
    }
  }
}
