import { expect, test } from "bun:test";
import { listCommands } from "../../src/commands/index.ts";
import { ADMIN } from "../../src/server/auth/role.ts";
import { type ContextOptions, createContexts } from "../../src/server/context.ts";
import type { Login } from "../../src/server/logins/login.ts";
import { createIdentity } from "../support/identity.ts";
import { createRecorder } from "../support/recorder.ts";

const login: Login = {
  runAs: "ann",
  name: "ann",
  credentials: { uid: 64_501, gid: 64_502, groups: [] },
  home: "/",
  shell: "/usr/bin/zsh",
};

/** A context whose parts answer whatever they are asked, of a call that is done as another user if there is one. */
function setup(login: Login | undefined) {
  const part = (): unknown =>
    new Proxy(() => {}, { get: (_, name) => (name === "then" ? undefined : part()), apply: () => part() });
  const options = { jobs: 0, workspaces: 0, files: 0, machine: 0, catalogue: 0, delegate: 0, close: 0 };
  const parts = Object.fromEntries(Object.keys(options).map((name) => [name, part()]));
  const input = { async *[Symbol.asyncIterator]() {} };
  return createContexts(parts as unknown as ContextOptions)({
    identity: createIdentity(),
    role: ADMIN,
    recorder: createRecorder(),
    login,
    workspace: "default",
    signal: new AbortController().signal,
    input,
  });
}

test("A call that is done as another user finds neither files nor the machine in the server's own process", () => {
  const context = setup(login);
  expect(() => context.files).toThrow("asUser");
  expect(() => context.machine).toThrow("asUser");
  expect(context.toLoginShell()).toEqual({ file: "/usr/bin/zsh", argv: ["-zsh"] });
  expect(setup(undefined).machine).toBeDefined();
});

test("Every command that touches files or the machine says that it is done as its caller's user", async () => {
  const touching = [];
  for (const { name } of listCommands()) {
    const file = name === "mkdirs" ? "mkdir" : name;
    const text = await Bun.file(`${import.meta.dir}/../../src/commands/${file}.ts`).text();
    // Of its context it takes these, or hands that to what does.
    if (/[{ ](?:files|machine)(?:,| \})|runPower/.test(text)) touching.push(name);
  }
  const saying = listCommands().flatMap((command) =>
    command.kind === "foreground" && command.asUser ? [command.name] : [],
  );
  expect(saying.toSorted()).toEqual(touching.toSorted());
});
