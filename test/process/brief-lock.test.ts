import { expect, test } from "bun:test";
import { join } from "node:path";
import { openBriefLock } from "../../src/process/brief-lock.ts";
import { openDirectory } from "../support/directory.ts";

test("openBriefLock() is held by one at a time, in one process or in two, and can be had again", async () => {
  using directory = openDirectory();
  const path = join(directory.path, "lock");
  using one = openBriefLock(path, 20);
  using other = openBriefLock(path, 20);
  {
    using held = one.hold();
    expect(held).toBeDefined();
    expect(other.hold()).toBeUndefined();
  }
  using again = other.hold();
  expect(again).toBeDefined();
});

test("openBriefLock() waits for who has it, and takes what a killed process had", async () => {
  using directory = openDirectory();
  const path = join(directory.path, "lock");
  const script = join(directory.path, "holder.ts");
  await Bun.write(
    script,
    `import { openBriefLock } from "${import.meta.dir}/../../src/process/brief-lock.ts";
     const held = openBriefLock(process.argv[2] ?? "", 1_000).hold();
     console.log(held === undefined ? "refused" : "held");
     setInterval(() => held, 1_000);`,
  );
  const holder = Bun.spawn([process.execPath, script, path], { stdout: "pipe" });
  const { value } = await holder.stdout.getReader().read();
  expect(new TextDecoder().decode(value).trim()).toBe("held");
  using hurried = openBriefLock(path, 20);
  expect(hurried.hold()).toBeUndefined();
  holder.kill("SIGKILL");
  using patient = openBriefLock(path, 20_000);
  using held = patient.hold();
  expect(held).toBeDefined();
});
