import { describe, expect, test } from "bun:test";
import type { AppError, CallListener, JobListener, Outcome } from "../../src/sdk.ts";
import { Connection } from "../../src/client/connection.ts";
import { toCamelCase } from "../../src/client/custom.ts";
import { builtins } from "../../src/commands/index.ts";
import type { JobSummary } from "../../src/sdk.ts";

/** What `bun check` must accept of a connection, each with the type that it has. Nobody runs it. */
export async function accepted(web1: Connection) {
  const { signal } = new AbortController();
  const reply = await web1.wait(3, { timeout: 5, echoResponse: true, maxInterval: 5, signal });
  const maybe: JobSummary | undefined = reply.result;
  if (reply.error === undefined) reply.result satisfies JobSummary;
  else reply.error satisfies AppError;
  const { result } = await web1.wait("@last", { raiseError: true });
  result satisfies JobSummary;
  (await web1.wait({ job: 3, complete: false })) satisfies CallListener<never, JobSummary>;
  await web1.kill(3, { signal: "INT", timeout: 5 });
  await web1.jobs();
  await web1.jobs([3, "@last"], { complete: true });
  await web1.jobs({ filter: { states: ["running"] }, limit: 5 });
  await web1.jobRemove(3);
  await web1.jobRemove([3, 4]);
  await web1.jobLabel(3, { set: { a: "b" }, unset: ["c"] });

  const ran = await web1.exec(["make", "test"], { cwd: "/srv", env: { A: "b" }, stdin: "text", timeout: 5 });
  if (ran.error === undefined) ran.outcome satisfies Outcome;
  const { outcome } = await web1.exec("make | tee log", { raiseError: true });
  outcome satisfies { type: "exited" | "returned" };
  const listener: JobListener = await web1.exec({ shell: "make" }, { complete: false, stdin: true });
  listener.job satisfies string;
  for await (const packet of listener) if (packet.type === "stdout") packet.bytes satisfies Uint8Array;

  (await web1.commands(["ls"])).result?.map(({ name }) => name);
  (await web1.rdfile("/etc/hostname")).stdout satisfies Uint8Array;
  (await web1.ls("/srv", { hidden: true, raiseError: true })).events satisfies readonly { name: string }[];
  (await web1.wrfile("/srv/x", { append: true, stdin: new Uint8Array(3) })).result?.bytes satisfies
    number | undefined;
  await web1.cp(["/a", { bytes: "/w==" }], "/srv", { timeout: 5 });
  await web1.sendInput(3, "yes", { newline: true });

  (await web1.call("wait", { job: 3 })).result satisfies JobSummary | undefined;
  (await web1.call("deploy", { anything: 1 }, { complete: false })) satisfies
    CallListener<unknown, unknown> | JobListener;
  (await web1.call("deploy", undefined, { raiseError: true })).result satisfies unknown;
  (await web1.commands["deploy-all"]?.({ to: "web" }, { stdin: "bytes" }))?.error satisfies
    AppError | undefined;
  await web1.call("deploy", new Map([[1n, new Date()]]), {
    labels: { a: "b" },
    limits: { execMs: 5 },
    key: "k",
  });
  await web1.commands["deploy"]?.(
    {},
    { complete: false, keepOutput: "all", onDisconnect: "kill", info: [1] },
  );
  await web1.follow(3, { recent: 2, unit: "values" });
  return maybe;
}

/** What it must refuse. */
export async function refused(web1: Connection) {
  // @ts-expect-error: no such field
  await web1.wait(3, { jub: 3 });
  // @ts-expect-error: given twice
  await web1.wait(3, { job: 3 });
  // @ts-expect-error: the job is missing
  await web1.wait();
  // @ts-expect-error: the job is missing still
  await web1.wait({ timeout: 5 });
  // @ts-expect-error: milliseconds are numbers
  await web1.wait(3, { timeout: "5s" });
  // @ts-expect-error: the signal of kill is a name
  await web1.kill(3, { signal: new AbortController().signal });
  // @ts-expect-error: it takes no bytes
  await web1.wait(3, { stdin: "text" });
  // @ts-expect-error: it takes bytes, and no such field
  await web1.wrfile("/srv/x", { apend: true });
  // @ts-expect-error: a reading says no events of a type of its own
  (await web1.ls("/srv")).events[0]?.nam;
  // @ts-expect-error: no such command
  await web1.weit(3);
  // @ts-expect-error: no such option
  await web1.exec(["make"], { cwdd: "/srv" });
  // @ts-expect-error: words are strings
  await web1.exec(["sleep", 5]);
  // @ts-expect-error: no such field of a built-in command
  await web1.call("wait", { jub: 3 });
  // @ts-expect-error: a built-in command has no terms beside its input
  await web1.call("wait", { job: 3 }, { key: "k" });
  // @ts-expect-error: no such term
  await web1.call("deploy", {}, { maxExecTime: "5m" });
  // @ts-expect-error: no such unit
  await web1.follow(3, { recent: 2, unit: "lines" });
  // @ts-expect-error: a result that may be missing
  (await web1.wait(3)).result.state;
  // @ts-expect-error: an outcome that may be missing
  (await web1.exec(["make"])).outcome.type;
  // @ts-expect-error: a foreground call is no job
  (await web1.wait(3, { complete: false })).job satisfies string;
}

describe("Connection", () => {
  test("has a method for every command, and its own where they have more to them", () => {
    const own = ["exec", "ping", "commands"];
    const methods = Object.keys(builtins).map(toCamelCase);
    for (const method of methods.filter((method) => method !== "commands"))
      expect(Connection.prototype, method).toHaveProperty(method);
    const described = Object.entries(Object.getOwnPropertyDescriptors(Connection.prototype));
    const derived = described.flatMap(([name, { value }]) => (value?.name === "value" ? [name] : []));
    expect(derived.sort()).toEqual(methods.filter((method) => !own.includes(method)).sort());
  });
});
