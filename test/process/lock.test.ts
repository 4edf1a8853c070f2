import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { claimLock } from "../../src/process/lock.ts";
import { openDirectory } from "../support/directory.ts";

/** Another process that claims the lock, says whether it could, and holds it until it is killed. */
async function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "lock");
  const script = join(directory.path, "holder.ts");
  await Bun.write(
    script,
    `import { claimLock } from "${import.meta.dir}/../../src/process/lock.ts";
     const lock = claimLock(process.argv[2] ?? "");
     console.log(lock === undefined ? "refused" : "claimed");
     if (lock) setInterval(() => lock, 1_000);`,
  );
  const holders: Bun.Subprocess[] = [];
  return {
    path,
    directory: directory.path,
    async claimElsewhere() {
      const holder = Bun.spawn([process.execPath, script, path], { stdout: "pipe" });
      holders.push(holder);
      const { value } = await holder.stdout.getReader().read();
      return { holder, said: new TextDecoder().decode(value).trim() };
    },
    [Symbol.dispose]() {
      for (const holder of holders) holder.kill("SIGKILL");
      directory[Symbol.dispose]();
    },
  };
}

test("claimLock refuses a second process while the first one holds the lock", async () => {
  using world = await setup();
  const { said } = await world.claimElsewhere();
  expect(said).toBe("claimed");
  expect(claimLock(world.path)).toBeUndefined();
  expect((await world.claimElsewhere()).said).toBe("refused");
});

test("claimLock takes a lock whose holder was killed", async () => {
  using world = await setup();
  const { holder } = await world.claimElsewhere();
  holder.kill("SIGKILL");
  await holder.exited;
  using lock = claimLock(world.path);
  expect(lock).toBeDefined();
  expect((await world.claimElsewhere()).said).toBe("refused");
});

test("claimLock gives the lock back when it is disposed, and refuses its own process meanwhile", async () => {
  using world = await setup();
  {
    using lock = claimLock(world.path);
    expect(lock).toBeDefined();
    expect(claimLock(world.path)).toBeUndefined();
  }
  expect((await world.claimElsewhere()).said).toBe("claimed");
});

test("claimLock leaves nothing but the lock's own file, however its holder ends", async () => {
  using world = await setup();
  const { holder } = await world.claimElsewhere();
  holder.kill("SIGKILL");
  await holder.exited;
  expect(readdirSync(world.directory).toSorted()).toEqual(["holder.ts", "lock"]);
});

test("claimLock throws what is wrong with a path that cannot be a lock", () => {
  expect(() => claimLock("/no/such/directory/lock")).toThrow();
});
