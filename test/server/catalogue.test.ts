import { describe, expect, test } from "bun:test";
import type { System } from "../../src/commands/define.ts";
import { listCommands } from "../../src/commands/index.ts";
import { Catalogue } from "../../src/server/catalogue.ts";
import type { CustomCommand } from "../../src/server/extensions/custom.ts";
import { createCustom, createExtensions } from "../support/custom.ts";

function setup({ system = "linux" as System, canSuspend = true, own = [] as readonly CustomCommand[] } = {}) {
  return new Catalogue({ system, isAble: () => canSuspend, extensions: createExtensions(own) });
}

async function names(catalogue: Catalogue) {
  return (await catalogue.describe([])).map(({ name }) => name);
}

function refusal(act: () => unknown) {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("It was not refused");
}

describe("Catalogue", () => {
  test("describes every command, with schemas that are JSON", async () => {
    const described = await setup().describe([]);
    expect(described.map(({ name }) => name)).toEqual(listCommands().map(({ name }) => name));
    expect(JSON.parse(JSON.stringify(described))).toEqual(described as never);
    for (const { name, kind, input, event, result } of described) {
      expect([name, input["type"] ?? "any"]).toEqual([name, "object"]);
      expect([name, result !== undefined]).toEqual([name, kind === "foreground"]);
      if (event !== undefined) expect(event["$schema"]).toContain("draft-07");
    }
  });

  test("describes the named ones, in their order, under any spelling", async () => {
    const [ps, sendInput] = await setup().describe(["ps", "send_input"]);
    expect(ps).toMatchObject({
      name: "ps",
      kind: "foreground",
      permission: "read",
      positional: ["name"],
      input: { properties: { user: { type: "string" } } },
      event: { required: expect.arrayContaining(["pid", "argv"]) },
      result: { properties: { processes: { type: "number" } } },
    });
    expect(sendInput).toMatchObject({ name: "send-input", permission: "exec", input: { required: ["job"] } });
  });

  test("has no command that this machine cannot do", async () => {
    expect(await names(setup())).toContain("sleep");
    const catalogue = setup({ canSuspend: false });
    expect(await names(catalogue)).not.toContain("sleep");
    const unknown = expect.objectContaining({
      code: "unknown_command",
      message: expect.stringContaining('Cannot call "sleep": this machine cannot do that'),
    });
    expect(refusal(() => catalogue.find("sleep"))).toEqual(unknown);
    expect(await catalogue.describe(["sleep"]).catch((error) => error)).toEqual(unknown);
  });

  test("knows no name that is none of a command", async () => {
    for (const name of ["no-such", "", "constructor", "__proto__", "toString"]) {
      expect(setup().find(name)).toBeUndefined();
      expect(
        await setup()
          .findOwn(name)
          .catch((error) => error),
      ).toMatchObject({ code: "unknown_command" });
    }
  });

  test("tells what is the operator's own, marked so, behind what is built in", async () => {
    const catalogue = setup({ own: [createCustom({ name: "deploy-all", kind: "background" })] });
    expect((await names(catalogue)).at(-1)).toBe("deploy-all");
    expect(await catalogue.describe(["deploy_all", "ls"])).toMatchObject([
      { name: "deploy-all", kind: "background", custom: true },
      { name: "ls" },
    ]);
    expect((await catalogue.describe(["ls"]))[0]).not.toHaveProperty("custom");
    expect(await catalogue.findOwn("deploy_all")).toMatchObject({ name: "deploy-all" });
  });

  test("has whoever asks for one of the operator's own wait until that is known", async () => {
    const gate = Promise.withResolvers<void>();
    const own: CustomCommand[] = [];
    const known = createExtensions(own);
    const findOnceBuilt = (name: string) => gate.promise.then(() => known.find(name));
    const extensions = { ...known, findOnceBuilt };
    const catalogue = new Catalogue({ system: "linux", isAble: () => true, extensions });
    const found = catalogue.findOwn("late");
    own.push(createCustom({ name: "late" }));
    gate.resolve();
    expect(await found).toMatchObject({ name: "late" });
  });

  test.each(["linux", "darwin", "win32"] as const)("offers on %s what that system has", async (system) => {
    const offered = await names(setup({ system }));
    const meant = listCommands().filter(({ systems }) => systems?.includes(system) ?? true);
    expect(offered).toEqual(meant.map(({ name }) => name));
  });
});
