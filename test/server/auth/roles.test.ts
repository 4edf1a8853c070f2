import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { AppError } from "../../../src/protocol/error.ts";
import { ADMIN, OPERATOR, VIEWER } from "../../../src/server/auth/role.ts";
import { DEFAULT_ROLES, type Place, RolesTable, toRoles } from "../../../src/server/auth/roles.ts";

const here: Place = { names: ["web1.lab", "web1"], canRunAs: true };

function read(table: v.InferInput<typeof RolesTable>, place: Partial<Place> = {}) {
  return toRoles(
    v.parse(RolesTable, table),
    { ...here, ...place },
    (key, why) => new AppError("invalid_config", `${key}: ${why}`),
  );
}

describe("toRoles()", () => {
  test("knows the built-in roles where a configuration says nothing", () => {
    expect(read({})).toEqual(DEFAULT_ROLES);
    expect([...DEFAULT_ROLES.values()]).toEqual([ADMIN, OPERATOR, VIEWER]);
  });

  test("reads every key of a role", () => {
    const table = {
      permissions: ["read", "exec"],
      commands: ["exec", "job-*", "send_input"],
      hosts: ["web*"],
      roots: ["/srv/app/../app/"],
      run_as: "deploy:www-data",
      environment: ["LANG", "LC_*"],
      all_jobs: true,
      limits: { jobs: 4, output: "1GiB", time: "1h" },
    } as const;
    expect(
      read({
        deployer: {
          ...table,
          permissions: [...table.permissions],
          commands: [...table.commands],
          hosts: [...table.hosts],
          roots: [...table.roots],
          environment: [...table.environment],
        },
      }).get("deployer"),
    ).toEqual({
      name: "deployer",
      permissions: new Set(["read", "exec"]),
      commands: ["exec", "job-*", "send-input"],
      hosts: ["web*"],
      roots: ["/srv/app"],
      runAs: "deploy:www-data",
      environment: ["LANG", "LC_*"],
      seesAllJobs: true,
      limits: { jobs: 4, outputBytes: 1024 ** 3, time: 3_600_000 },
    });
  });

  test("names commands of the operator's own, where there may be such", () => {
    const own: v.InferInput<typeof RolesTable> = {
      deployer: { permissions: ["exec"], commands: ["deploy"] },
    };
    expect(() => read(own)).toThrow("it matches no command");
    expect(() => read(own, { programs: ["backup"] })).toThrow("it matches no command");
    expect(read(own, { programs: ["deploy"] }).get("deployer")?.commands).toEqual(["deploy"]);
    expect(read(own, { mayHaveModules: true }).get("deployer")?.commands).toEqual(["deploy"]);
  });

  test("gives a new role nothing that it does not say, and leaves a built-in one what is not said of it", () => {
    const roles = read({ reader: { permissions: ["read"] }, viewer: { roots: ["/var/log"] } });
    expect(roles.get("reader")).toMatchObject({
      permissions: new Set(["read"]),
      seesAllJobs: false,
      limits: {},
    });
    expect(roles.get("viewer")).toEqual({ ...VIEWER, roots: ["/var/log"] });
    expect(roles.get("admin")).toEqual(ADMIN);
  });

  test("leaves a role nothing on a server that it is not for", () => {
    const table = {
      viewer: { hosts: ["db*"] },
      web: { permissions: ["exec" as const], hosts: ["db1", "web?"], all_jobs: true },
    };
    expect(read(table).get("viewer")?.permissions).toEqual(new Set());
    expect(read(table).get("web")?.permissions).toEqual(new Set(["exec"]));
    const elsewhere = read(table, { names: ["mail"] }).get("web");
    expect([elsewhere?.permissions, elsewhere?.seesAllJobs]).toEqual([new Set(), false]);
  });

  test.each([
    [{ r: {} }, "roles.r.permissions: say which"],
    [{ r: { permissions: [] } }, "roles.r.permissions: say which"],
    [{ "a b": { permissions: ["read"] } }, "roles.a b: a role's name has"],
    [
      { r: { permissions: ["exec"], commands: ["exec", "exce"] } },
      "roles.r.commands.1: it matches no command",
    ],
    [
      { r: { permissions: ["read"], commands: ["exec"] } },
      'roles.r.commands.0: what it matches takes the permission "exec"',
    ],
    [{ r: { permissions: ["read"], roots: ["/srv", "srv"] } }, "roles.r.roots.1: write an absolute path"],
    [{ r: { permissions: ["write"] } }, 'roles.r.permissions: who may "write"'],
    [{ r: { permissions: ["write", "read"], roots: [] } }, 'roles.r.permissions: who may "write"'],
    [{ r: { permissions: ["exec"], run_as: "a:b:c" } }, "roles.r.run_as: write user or user:group"],
    [{ r: { permissions: ["exec"], run_as: "root" } }, "roles.r.run_as: nobody becomes root"],
    [{ r: { permissions: ["exec"], run_as: "0:100" } }, "roles.r.run_as: nobody becomes root"],
    [{ r: { permissions: ["exec"], run_as: "-u root" } }, "roles.r.run_as: write user or user:group"],
  ] as [v.InferInput<typeof RolesTable>, string][])("refuses what makes no sense: %j", (table, why) => {
    expect(() => read(table)).toThrow(why);
  });

  test("refuses to run as others where the server cannot, unless the role is for another server", () => {
    const table = { r: { permissions: ["exec" as const], run_as: "nobody", hosts: ["web1"] } };
    expect(() => read(table, { canRunAs: false })).toThrow("roles.r.run_as: only a server that runs as root");
    expect(read(table, { canRunAs: false, names: ["db1"] }).get("r")?.permissions.size).toBe(0);
    expect(read(table).get("r")?.runAs).toBe("nobody");
  });
});
