import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { FARHAND, FARHANDD } from "./built.ts";
import { eventually } from "./eventually.ts";
import { readProcess } from "./world.ts";

const script = resolve(import.meta.dir, "../fixtures/machine.sh");
const HIERARCHY = "/sys/fs/cgroup/systemd";
const SYSTEMD = "/lib/systemd/systemd";

/** Why no machine can be booted here, or undefined when one can. */
export function findMachineFault(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "namespaces take root on Linux";
  if (!existsSync(SYSTEMD) || statSync("/bin").ino !== statSync("/usr/bin").ino)
    return `there is no ${SYSTEMD}, or /bin is not in /usr`;
  if (!existsSync(join(HIERARCHY, "cgroup.procs"))) return `there is no ${HIERARCHY} to put a machine into`;
  const flags = ["--pid", "--fork", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
  const { success, stderr } = Bun.spawnSync(["unshare", ...flags, "ip", "link", "set", "lo", "up"]);
  return success ? undefined : `unshare refused: ${stderr.toString().trim()}`;
}

/** What a command in a machine did. */
export interface MachineRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A machine of namespaces that systemd has booted. Disposing is as pulling its plug. */
export class Machine implements AsyncDisposable {
  readonly #boot: Bun.Subprocess<"ignore", "ignore", "pipe">;
  readonly #cgroup: string;

  private constructor(boot: Bun.Subprocess<"ignore", "ignore", "pipe">, cgroup: string) {
    this.#boot = boot;
    this.#cgroup = cgroup;
  }

  /** Boots a machine and resolves when systemd answers. `disk`: what it keeps over reboots, with the executables in /stage. */
  static async boot(disk: string): Promise<Machine> {
    for (const name of ["root", "units", "var", "stage"]) mkdirSync(join(disk, name), { recursive: true });
    for (const path of [FARHAND, FARHANDD]) copyFileSync(path, join(disk, "stage", basename(path)));
    const cgroup = join(HIERARCHY, `farhand-test-${crypto.randomUUID()}`);
    mkdirSync(cgroup);
    const boot = Bun.spawn(["bash", script, join(disk, "root"), disk, cgroup], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const machine = new Machine(boot, cgroup);
    try {
      await eventually(async () => {
        if (boot.exitCode !== null) throw new Error(`Booting ended with ${boot.exitCode}`);
        return (await machine.run("systemctl is-active multi-user.target")).code === 0;
      }, 30_000);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw new Error(`systemd does not answer:\n${await boot.stderr.text()}`, { cause: error });
    }
    return machine;
  }

  /** Runs a bash command line in the machine, as root, with the executables in the PATH. */
  async run(line: string): Promise<MachineRun> {
    const init = this.#findInit();
    if (init === undefined) return { code: null, stdout: "", stderr: "It has not booted" };
    const namespaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd"];
    const child = Bun.spawn(["nsenter", "--target", String(init), ...namespaces, "bash", "-c", line], {
      env: { PATH: "/stage:/usr/sbin:/usr/bin", HOME: "/root" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code: child.exitCode, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#boot.kill("SIGKILL");
    await this.#boot.exited;
    // The kernel needs a moment to end all that was in it.
    await eventually(() => removeCgroup(this.#cgroup), 30_000);
  }

  /** The host's pid of the machine's pid 1, once that is systemd. */
  #findInit(): number | undefined {
    const { pid } = this.#boot;
    const [init] = readProcess(pid, `task/${pid}/children`).split(" ");
    return init && readProcess(Number(init), "cmdline").startsWith(SYSTEMD) ? Number(init) : undefined;
  }
}

function removeCgroup(path: string): boolean {
  if (!existsSync(path)) return true;
  const rooms = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (!rooms.every(({ name }) => removeCgroup(join(path, name)))) return false;
  if (readFileSync(join(path, "cgroup.procs"), "utf8") !== "") return false;
  rmdirSync(path);
  return true;
}
