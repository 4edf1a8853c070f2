import { expect, test } from "bun:test";
import { join } from "node:path";

const script = `
  const { nameProcess } = await import(${JSON.stringify(join(import.meta.dir, "../../src/process/name.ts"))});
  nameProcess("farhandd");
  console.log(await Bun.file("/proc/" + process.pid + "/comm").text());
`;

test.skipIf(process.platform !== "linux")("nameProcess() is what the system then calls the process", () => {
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script]);
  expect(stdout.toString().trim()).toBe("farhandd");
});
