import { expect, setDefaultTimeout } from "bun:test";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { findMachineFault, Machine } from "../support/machine.ts";
import { testIf } from "../support/test-if.ts";

setDefaultTimeout(120_000);

const fault = findMachineFault();
const testOnMachine = testIf(fault === undefined, fault ?? "");

/** Runs until the file `/stage/go` appears, and ends with 7. */
const waiter = "echo $HOME; while [ ! -e /stage/go ]; do sleep 0.05; done; echo done; exit 7";

async function setup() {
  const disk = openDirectory();
  let machine: Machine | undefined = await Machine.boot(disk.path);
  const run = async (line: string) => (machine as Machine).run(line);
  const unplug = async () => {
    await machine?.[Symbol.asyncDispose]();
    machine = undefined;
  };
  return {
    run,
    unplug,
    boot: async () => void (machine = await Machine.boot(disk.path)),
    /** What a command line writes that must succeed. */
    say: async (line: string) => {
      const { code, stdout, stderr } = await run(line);
      if (code !== 0) throw new Error(`${line} ended with ${code}: ${stdout}${stderr}`);
      return stdout.trim();
    },
    async [Symbol.asyncDispose]() {
      await unplug();
      disk[Symbol.dispose]();
    },
  };
}

testOnMachine(
  "A service of systemd: jobs survive its restart, stop, start and kill -9, and its removal ends none",
  async () => {
    await using world = await setup();
    const installed = await world.say("farhandd service install --listen 127.0.0.1:9922");
    expect(installed).toContain("/etc/systemd/system/farhandd.service");
    // It answers by the time that this is said.
    expect(await world.say("farhandd status --json")).toContain('"running":true');
    const status = await world.say("farhandd service status --json");
    expect(JSON.parse(status)).toMatchObject({ installed: true, enabled: true, running: true });
    const job = await world.say(`farhand exec -d --shell '${waiter}'`);
    const keepers = async () =>
      JSON.parse(await world.say("farhandd status --json")).keepers.map(({ pid }: { pid: number }) => pid);
    const before = await keepers();
    const isRunning = async () => {
      const { jobs } = JSON.parse(await world.say(`farhand --connect-timeout 30s jobs --json ${job}`));
      return jobs[0].state === "running";
    };

    await world.say("systemctl restart farhandd");
    expect(await isRunning()).toBe(true);
    await world.say("systemctl stop farhandd");
    expect((await world.run("farhandd service status")).code).toBe(3);
    await world.say("systemctl start farhandd");
    expect(await isRunning()).toBe(true);
    await world.say("kill -9 $(systemctl show -p MainPID --value farhandd)");
    await eventually(async () => (await world.run("farhandd status")).code === 0, 30_000);
    expect(await isRunning()).toBe(true);
    // Again with other options is an upgrade.
    await world.say("farhandd service install --listen 127.0.0.1:9923");
    expect(await world.say("farhandd status --json")).toContain("127.0.0.1:9923");
    expect(await isRunning()).toBe(true);
    expect(await keepers()).toEqual(before);

    // What was asked to stop is not started again.
    await world.say("farhandd stop");
    expect((await world.run("farhandd service status")).code).toBe(3);
    await world.say("farhandd service uninstall");
    expect((await world.run("ls /etc/systemd/system/farhandd.service")).code).not.toBe(0);
    await world.say("farhandd start; touch /stage/go");
    expect(await world.run(`farhand follow ${job}`)).toMatchObject({ code: 7, stdout: "/root\ndone\n" });
  },
);

testOnMachine("A service is there after a boot, and the jobs that the boot ended are lost", async () => {
  await using world = await setup();
  // A server that holds the state directory would keep the service from starting.
  await world.say("farhandd start");
  const refused = await world.run("farhandd service install");
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining("stop it first, its jobs go on"),
  ]);
  await world.say("farhandd stop; farhandd service install");
  const job = await world.say(`farhand exec -d --shell '${waiter}'`);
  const over = await world.run("farhand exec -- sh -c 'echo over; exit 3'");
  expect(over).toMatchObject({ code: 3, stdout: "over\n" });
  await eventually(async () => (await world.run(`farhand follow --recent 1 2`)).code === 3);
  await world.unplug();
  await world.boot();
  await eventually(async () => (await world.run("farhandd status")).code === 0, 30_000);
  expect((await world.run(`farhand wait ${job}`)).code).toBe(125);
  const { jobs } = JSON.parse(await world.say(`farhand jobs --json ${job}`));
  expect(jobs[0]).toMatchObject({ state: "lost", processes: [] });
  expect(await world.run("farhand follow 2")).toMatchObject({ code: 3, stdout: "over\n" });
  expect(await world.say("farhand exec -- echo here")).toBe("here");
});
