import { expect, test } from "bun:test";
import { CLOSE } from "../../../src/protocol/close.ts";
import { Budget } from "../../../src/lib/budget.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { PROTOCOL_VERSION } from "../../../src/protocol/hello.ts";
import type { Identity } from "../../../src/server/auth/identity.ts";
import { Catalogue } from "../../../src/server/catalogue.ts";
import type { Jobs } from "../../../src/server/jobs/jobs.ts";
import { Connection } from "../../../src/server/session/connection.ts";
import { Sessions } from "../../../src/server/session/sessions.ts";
import { createIdentity } from "../../support/identity.ts";
import { createExtensions } from "../../support/custom.ts";
import { createRecorder } from "../../support/recorder.ts";

const log = { error() {}, warn() {}, info() {}, debug() {} };

/** What a client shows that goes on with a session. */
interface Resume {
  readonly session: unknown;
  readonly generation: unknown;
  readonly token: unknown;
}

function refuse(): never {
  throw new Error("Nobody calls");
}

function setup() {
  const sessions = new Sessions({
    jobs: {} as Jobs, // nobody calls
    state: "/nowhere",
    version: "1.0.0",
    boot: "boot",
    log,
    grace: 60_000,
    audit: { as: () => createRecorder() },
    workspaces: { hold: () => ({ [Symbol.dispose]() {} }), discard() {} },
    catalogue: new Catalogue({ system: "linux", isAble: () => false, extensions: createExtensions() }),
    uses: { spend() {} },
    files: { confine: refuse },
    logins: { find: refuse },
    delegate: { confine: refuse, run: refuse, toFooting: refuse },
    runners: { runModule: refuse },
    inline: { runModule: refuse },
    jobRunner: { argv: [], argv0: "" },
    orders: new Budget(1),
    toContext: refuse,
  });
  /** Somebody greets. What he hears at his end is kept. */
  const greet = (identity: Identity, resume?: Resume) => {
    const heard: string[] = [];
    const closed: { code: number; reason: string }[] = [];
    const peer = {
      sendText: (text: string) => void heard.push(text),
      sendBytes() {},
      queued: () => 0,
      close: (code: number, reason: string) => void closed.push({ code, reason }),
    };
    const connection = new Connection(peer, {
      identity,
      log,
      openSession: (hello) => sessions.open(hello, identity),
    });
    const agent = { name: "test", version: "1" };
    const hello = { type: "hello", version: PROTOCOL_VERSION, agent, heartbeat: 15_000, received: 0, resume };
    connection.receiveText(JSON.stringify(hello));
    const { session, generation, resume: token } = JSON.parse(heard[0] ?? "") as Record<string, unknown>;
    return { connection, closed, resume: { session, generation, token } };
  };
  return { sessions, greet };
}

test("endAll() ends those of some, with a connection or without, and sends them away with the reason", () => {
  const { sessions, greet } = setup();
  const [revoked, other] = [createIdentity({ token: "revoked" }), createIdentity({ token: "other" })];
  const [attached, deserted, staying] = [greet(revoked), greet(revoked), greet(other)];
  deserted.connection.disconnect(false);
  expect(sessions.size).toBe(3);
  const reason = new AppError("unauthenticated", "Your token is not valid any more");
  sessions.endAll(reason, ({ token }) => token === "revoked");
  expect(sessions.size).toBe(1);
  expect([attached.connection.isOpen, staying.connection.isOpen]).toEqual([false, true]);
  expect(attached.closed).toEqual([
    { code: CLOSE.unauthenticated, reason: `unauthenticated: ${reason.message}` },
  ]);
  expect(staying.closed).toEqual([]);
  sessions.endAll(reason);
  expect([sessions.size, staying.connection.isOpen]).toEqual([0, false]);
});

test("open() gives nobody a session that is another's, or one that there is not: he gets a new one, and cannot tell which it was", () => {
  const { sessions, greet } = setup();
  const alice = createIdentity({ owner: "alice", token: "a" });
  const { resume } = greet(alice);
  const others = [
    createIdentity({ owner: "mallory", token: "m" }),
    createIdentity({ owner: "alice", token: "another of hers" }),
    createIdentity({ owner: "alice", token: "a", chain: ["narrowed"] }),
  ];
  for (const other of others) expect(greet(other, resume).resume.session).not.toBe(resume.session);
  for (const wrong of [
    { ...resume, session: crypto.randomUUID() },
    { ...resume, token: "guessed" },
    { ...resume, generation: 2 },
  ])
    expect(greet(alice, wrong).resume.session).not.toBe(resume.session);
  expect(sessions.size).toBe(7);
  expect(greet(alice, resume).resume.session).toBe(resume.session);
});
