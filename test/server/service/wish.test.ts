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
  };
  expect(commandOf({ flags, state: "/abs/s" })).toBe(
    `/opt/farhandd serve --listen 127.0.0.1:1 --listen [::1]:1 --config ${process.cwd()}/c.toml --state /abs/s --log-level debug --log-format json`,
  );
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
