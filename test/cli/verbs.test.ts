import { expect, test } from "bun:test";
import { isGroup } from "../../src/cli/verb.ts";
import { verbs } from "../../src/cli/verbs.ts";
import { findHiding } from "../../src/commands/client-verbs.ts";
import { findCommand } from "../../src/commands/index.ts";

test("The verbs that hide a command of a server's own are known to whoever defines one", async () => {
  const loaded = await Promise.all(
    Object.entries(verbs).map(async ([name, load]) => [name, await load()] as const),
  );
  const words = loaded.flatMap(([name, verb]) => [
    name,
    ...(isGroup(verb) ? Object.keys(verb.verbs).map((each) => `${name}-${each}`) : []),
  ]);
  const own = [...words, "help"].filter((name) => findCommand(name) === undefined);
  expect(own.filter((name) => findHiding(name) === undefined)).toEqual([]);
  expect(words.filter((name) => findCommand(name) !== undefined && findHiding(name) !== undefined)).toEqual(
    [],
  );
  expect(findHiding("disk-usage")).toBeUndefined();
});
