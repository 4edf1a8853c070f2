import { describe, expect, test } from "bun:test";
import type { CommandContext } from "../../../src/commands/context.ts";
import { listCommands } from "../../../src/commands/index.ts";
import { Budget } from "../../../src/lib/budget.ts";
import type { ServerMessage } from "../../../src/protocol/control.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { PROTOCOL_VERSION } from "../../../src/protocol/hello.ts";
import type { JobId } from "../../../src/protocol/id.ts";
import { toValue } from "../../../src/protocol/value.ts";
import type { Identity } from "../../../src/server/auth/identity.ts";
import { ADMIN } from "../../../src/server/auth/role.ts";
import { Catalogue } from "../../../src/server/catalogue.ts";
import type { Inline } from "../../../src/server/extensions/inline.ts";
import type { Jobs } from "../../../src/server/jobs/jobs.ts";
import type { Logins } from "../../../src/server/logins/logins.ts";
import type { Delegate } from "../../../src/server/runners/delegate.ts";
import type { Runners } from "../../../src/server/runners/runners.ts";
import { Calls } from "../../../src/server/session/calls.ts";
import { createExtensions } from "../../support/custom.ts";
import { eventually } from "../../support/eventually.ts";
import { createCaller, createIdentity } from "../../support/identity.ts";
import { createRecorder } from "../../support/recorder.ts";

const log = { error() {}, warn() {}, info() {}, debug() {} };

/** Calls of somebody. What a command would do is told instead. */
function setup(identity: Identity, failure?: Error) {
  const answers: ServerMessage[] = [];
  const recorder = createRecorder(failure);
  const reached: string[] = [];
  const access = (room: string) =>
    new Proxy({}, { get: (_, verb) => (reached.push(`${room}.${String(verb)}`), () => Promise.resolve({})) });
  const jobs = access("jobs");
  const context = { jobs, machine: access("machine"), server: access("server") };
  const calls = new Calls({
    identity,
    recorder,
    jobs: jobs as Jobs,
    log,
    catalogue: new Catalogue({ system: "linux", isAble: () => false, extensions: createExtensions() }),
    toContext: () => context as unknown as CommandContext,
    files: { confine: () => undefined },
    logins: access("logins") as unknown as Logins,
    delegate: access("delegate") as unknown as Delegate,
    runners: access("runners") as unknown as Runners,
    inline: access("inline") as unknown as Inline,
    jobRunner: { argv: ["runner"], argv0: "runner" },
    orders: new Budget(1),
    uses: { spend: () => reached.push("uses.spend") },
    minor: () => PROTOCOL_VERSION.minor,
    onJob: () => {},
    onAnswer: (answer) => answers.push(answer),
  });
  let last = 0;
  const call = async (command: string, input: unknown, job?: string, terms?: object) => {
    calls.start({
      type: "call",
      seq: ++last,
      call: last,
      command,
      input: toValue(input),
      ...(job !== undefined && { job: job as JobId }),
      ...(terms && { terms }),
    });
    await eventually(() => answers.length === last);
    return answers.at(-1);
  };
  return { call, reached, recorder };
}

describe("A caller without a permission", () => {
  const cases = [
    ["read", "jobs", {}],
    ["read", "wait", { job: "1" }],
    ["exec", "kill", { job: "1" }],
    ["exec", "exec", { argv: ["true"] }],
  ] as const;

  test.each(cases)("%s is refused %s, which does nothing", async (permission, command, input) => {
    const others = (["read", "write", "exec", "control", "power"] as const).filter((p) => p !== permission);
    const { call, reached } = setup(createCaller(...others));
    expect(await call(command, input, crypto.randomUUID())).toMatchObject({
      type: "failed",
      error: {
        code: "forbidden",
        message: `Cannot call "${command}": you lack the permission "${permission}"`,
        details: { permission },
      },
    });
    expect(reached).toEqual([]);
  });

  test("is refused before the input is looked at, under any spelling of the name", async () => {
    const { call } = setup(createCaller("exec"));
    expect(await call("job_show", { nonsense: 1 })).toMatchObject({ error: { code: "forbidden" } });
  });

  test("may still do what the others are for", async () => {
    const { call } = setup(createCaller("read"));
    expect(await call("ping", {})).toMatchObject({ type: "result" });
  });

  test("of whom nothing is known may do nothing at all", async () => {
    const { call } = setup(createIdentity({ roles: [] }));
    expect(await call("ping", {})).toMatchObject({ type: "failed", error: { code: "forbidden" } });
  });
});

test("An admin may do everything", async () => {
  const { call } = setup(createIdentity());
  expect(await call("ping", {})).toMatchObject({ type: "result" });
  for (const { permission } of listCommands()) expect(ADMIN.permissions.has(permission)).toBe(true);
});

test("Terms beside an input that has a place for them, or of what is no job, are refused", async () => {
  const { call, reached } = setup(createIdentity());
  for (const [command, input] of [
    ["exec", { argv: ["true"] }],
    ["ping", {}],
  ] as const)
    expect(await call(command, input, crypto.randomUUID(), { labels: { a: "b" } })).toMatchObject({
      error: {
        code: "invalid_input",
        message: `Cannot call "${command}": it takes no terms beside its input`,
      },
    });
  expect(reached).toEqual([]);
});

test("A name that no command has is unknown, whatever the caller may do", async () => {
  const { call } = setup(createCaller());
  expect(await call("no-such", {})).toMatchObject({ type: "failed", error: { code: "unknown_command" } });
});

test("Of calls that come at once one begins in each turn, so that others have theirs", async () => {
  const { call, reached } = setup(createIdentity());
  const all = Promise.all([1, 2, 3].map(() => call("jobs", {})));
  for (let round = 0; round < 100; round++) await Promise.resolve();
  expect(reached).toEqual(["jobs.list"]);
  await all;
  expect(reached).toEqual(Array(3).fill("jobs.list"));
});

describe("What is called", () => {
  test("is taken down before it is done, and what came of it as it is answered", async () => {
    const { call, recorder } = setup(createIdentity());
    await call("ping", {});
    await call("no-such", {});
    expect(recorder.taken).toMatchObject([
      { event: "call", call: 1, command: "ping" },
      { event: "answer", call: 1, command: "ping", outcome: "ok" },
      { event: "answer", call: 2, command: "no-such", outcome: "unknown_command" },
    ]);
  });

  test("is taken down without what the command calls confidential", async () => {
    const { call, recorder } = setup(createIdentity());
    await call("send-input", { job: "1", text: "hunter2" });
    expect(recorder.taken[0]).toMatchObject({ event: "call", command: "send-input", input: { job: "1" } });
    expect(JSON.stringify(recorder.taken)).not.toContain("hunter2");
  });

  test("is not done where it cannot be taken down, and nothing may be done unrecorded", async () => {
    const failure = new AppError("unavailable", "Cannot call it: the log cannot be written");
    const { call, reached } = setup(createIdentity(), failure);
    expect(await call("kill", { job: "1" })).toMatchObject({ error: { code: "unavailable" } });
    expect(reached).toEqual([]);
  });
});
