import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toOwnFiles } from "../../src/server/own-files.ts";
import { createSettings } from "../support/custom.ts";
import { openDirectory } from "../support/directory.ts";

test("toOwnFiles() seals the state, the sockets that lie elsewhere, the configuration, the key and the module", () => {
  using directory = openDirectory();
  const state = join(directory.path, "s".repeat(100)); // too long for a socket's path
  const short = join(directory.path, "short");
  mkdirSync(join(state, "keeper"), { recursive: true });
  mkdirSync(short, { mode: 0o700 });
  const id = "01a224ef-57e3-7043-aa82-0130af43a40d";
  writeFileSync(join(state, `keeper/${id}.lock`), "");
  writeFileSync(join(state, `keeper/${id}.where`), short);
  const tls = { cert: "/cert.pem", key: "/key.pem", clientCa: "/ca.pem", insecure: false };
  const auth = { tokenLifetime: 1, loginLifetime: 1, module: "/auth.ts" };
  const none = createSettings(join(state, "commands"));
  expect(toOwnFiles({ state, file: "/farhandd.toml", tls, auth, extensions: none })).toEqual({
    sealed: [state, short, "/farhandd.toml", "/key.pem", "/auth.ts"],
    fixed: [process.execPath, "/cert.pem", "/ca.pem"],
  });
  const bare = {
    state,
    file: undefined,
    extensions: none,
    tls: { ...tls, cert: undefined, key: undefined, clientCa: undefined },
  };
  expect(toOwnFiles({ ...bare, auth: { ...auth, module: undefined } })).toEqual({
    sealed: [state, short],
    fixed: [process.execPath],
  });
  // Modules are the server's own, with all that they are made of.
  const extensions = { ...none, directory: "/srv/own", files: ["/opt/a.ts"] };
  const inputs = [
    "/opt/a.ts",
    "/opt/lib/b.ts",
    "/opt/node_modules/x/index.js",
    "/opt/node_modules/y/index.js",
    "/srv/own/c.ts",
    join(state, "commands/d.ts"),
  ];
  expect(
    toOwnFiles({ ...bare, extensions, auth: { ...auth, module: undefined } }, inputs).sealed.slice(2),
  ).toEqual(["/srv/own", "/opt/a.ts", "/opt/lib/b.ts", "/opt/node_modules"]);
});
