import { expect, test } from "bun:test";
import { checkMayChange, defineService, type ServiceRequest } from "../../../src/server/service/wish.ts";

const request: ServiceRequest = {
  isUser: false,
  executable: "/opt/farhandd",
  flags: { listen: [], state: undefined, config: undefined, logLevel: undefined, logFormat: undefined },
  state: "/var/lib/farhand",
  env: {},
  platform: "linux",
  uid: 0,
  account: "root",
  home: "/root",
};
const commandOf = (changes: Partial<ServiceRequest>) =>
  /ExecStart=(.*)/.exec(defineService({ ...request, ...changes }).text)?.[1];

test.each([
  ["linux", false, "/etc/systemd/system/farhandd.service"],
  ["linux", true, "/root/.config/systemd/user/farhandd.service"],
  ["darwin", false, "/Library/LaunchDaemons/farhandd.plist"],
  ["darwin", true, "/root/Library/LaunchAgents/farhandd.plist"],
  ["win32", false, "/var/lib/farhand/farhandd-task.xml"],
] as const)("defineService() on %s (of the user: %p) puts it at %s", (platform, isUser, path) => {
  expect(defineService({ ...request, platform, isUser }).path).toBe(path);
});

test("defineService() heeds where a user keeps his configuration", () => {
  const env = { XDG_CONFIG_HOME: "/cfg" };
  expect(defineService({ ...request, isUser: true, env }).path).toBe("/cfg/systemd/user/farhandd.service");
});

test("defineService() writes out what the environment of its maker says, which the service has not", () => {
  expect(commandOf({})).toBe("/opt/farhandd serve --state /var/lib/farhand");
  expect(commandOf({ env: { FARHAND_STATE: "/s" }, state: "/s" })).toBe("/opt/farhandd serve --state /s");
  expect(commandOf({ env: { FARHAND_CONFIG: "/c.toml" }, state: "/from/file" })).toBe(
    "/opt/farhandd serve --config /c.toml",
  );
  const flags = {
    listen: ["127.0.0.1:1", "[::1]:1"],
    state: "s",
    config: "c.toml",
    logLevel: "debug",
    logFormat: "json",
    retention: { age: "30d", jobs: "5", bytes: "1GiB" },
  };
  expect(commandOf({ flags, state: "/abs/s" })).toBe(
    `/opt/farhandd serve --listen 127.0.0.1:1 --listen [::1]:1 --config ${process.cwd()}/c.toml --state /abs/s --log-level debug --log-format json --retention-age 30d --retention-jobs 5 --retention-bytes 1GiB`,
  );
});

test("defineService() passes on which modules of commands there are, with absolute paths", () => {
  const extensions = { files: ["a.ts", "/opt/b.ts"], watch: true };
  expect(commandOf({ flags: { ...request.flags, extensions } })).toBe(
    `/opt/farhandd serve --extension ${process.cwd()}/a.ts --extension /opt/b.ts --watch --state /var/lib/farhand`,
  );
});

test("defineService() passes on how the server is reached over the network, with absolute paths", () => {
  const { flags } = request;
  const tls = { cert: "c.pem", key: "/k.pem", clientCa: "ca.pem" };
  const listen = ["0.0.0.0:9922", "unix:fh.sock"];
  const here = process.cwd();
  expect(commandOf({ flags: { ...flags, listen, names: ["web1.lab", "10.1.2.3"], tls } })).toBe(
    `/opt/farhandd serve --listen 0.0.0.0:9922 --listen unix:${here}/fh.sock --name web1.lab --name 10.1.2.3 ` +
      `--cert ${here}/c.pem --key /k.pem --client-ca ${here}/ca.pem --state /var/lib/farhand`,
  );
  expect(commandOf({ flags: { ...flags, listen, tls: { insecure: true } } })).toContain(" --insecure ");
});

test("defineService() has systemd reload the same server", () => {
  const { text } = defineService({
    ...request,
    flags: { ...request.flags, config: "/c.toml" },
    state: "/from/file",
  });
  expect(text).toContain("\nExecReload=/opt/farhandd reload --config /c.toml\n");
});

test("defineService() refuses a server from source, and a system whose manager it does not know", () => {
  expect(() => defineService({ ...request, executable: undefined })).toThrow("from source");
  expect(() => defineService({ ...request, platform: "freebsd" })).toThrow("on freebsd");
});

test("checkMayChange() lets only root change services of the machine, and anybody his own", () => {
  expect(() => checkMayChange({ ...request, uid: 1000 })).toThrow("as root, or with --user");
  checkMayChange({ ...request, uid: 1000, isUser: true });
  checkMayChange(request);
});
