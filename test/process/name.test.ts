import { expect } from "bun:test";
import { join } from "node:path";
import { testIf } from "../support/test-if.ts";

const script = `
  const { nameProcess } = await import(${JSON.stringify(join(import.meta.dir, "../../src/process/name.ts"))});
  nameProcess("farhandd");
  console.log(await Bun.file("/proc/" + process.pid + "/comm").text());
`;

testIf(process.platform === "linux", "only Linux lets a process name itself")(
  "nameProcess() is what the system then calls the process",
  () => {
    const { stdout } = Bun.spawnSync([process.execPath, "-e", script]);
    expect(stdout.toString().trim()).toBe("farhandd");
  },
);
