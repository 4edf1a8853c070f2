import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** An sshd of our own on loopback, with its own host key, port, configuration and authorized key. */
export interface PrivateSshd extends AsyncDisposable {
  /** The argv that runs a program over it, in a connection of its own. */
  readonly cold: readonly string[];
  /** The same, over a master connection that is open already. */
  readonly mastered: readonly string[];
}

/** Where distributions put the server, which is seldom in a user's PATH. */
const PATHS = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

/** Starts one below `directory`, or answers why it cannot. */
export async function openSshd(directory: string): Promise<PrivateSshd | string> {
  const sshd = PATHS.map((path) => Bun.which(path)).find((path) => path !== null) ?? Bun.which("sshd");
  if (!sshd || !Bun.which("ssh") || !Bun.which("ssh-keygen")) return "there is no ssh, sshd or ssh-keygen";
  const root = join(directory, "ssh");
  mkdirSync(root, { mode: 0o700 });
  const path = (name: string) => join(root, name);
  for (const name of ["host", "user"])
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path(name)]);
  writeFileSync(path("authorized"), await Bun.file(path("user.pub")).text());
  const port = findFreePort();
  writeFileSync(
    path("config"),
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${path("host")}`,
      `AuthorizedKeysFile ${path("authorized")}`,
      `PidFile ${path("pid")}`,
      "StrictModes no",
      "UsePAM no",
      "UseDNS no",
      "PasswordAuthentication no",
      "PermitRootLogin yes",
      "MaxStartups 100",
      "",
    ].join("\n"),
  );
  // Where sshd runs as root, it wants this directory of its own.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true });
  const server = Bun.spawn([sshd, "-D", "-e", "-f", path("config")], { stdio: ["ignore", "ignore", "pipe"] });
  const options = ["-F", "none", "-p", String(port), "-i", path("user"), "-o", "IdentitiesOnly=yes"];
  const trusting = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"];
  const known = ["-o", `UserKnownHostsFile=${path("known")}`];
  const ssh = ["ssh", ...options, ...trusting, ...known];
  const host = "127.0.0.1";
  const socket = path("master");
  const close = async () => {
    await run(["ssh", "-S", socket, "-O", "exit", host]).catch(() => {}); // there may be no master
    server.kill();
    await server.exited;
  };
  try {
    await untilItWorks([...ssh, host, "true"]);
    await run([...ssh, "-M", "-S", socket, "-N", "-f", host]);
  } catch (error) {
    await close();
    return `sshd does not work here: ${error instanceof Error ? error.message : error}`;
  }
  return { cold: [...ssh, host], mastered: [...ssh, "-S", socket, host], [Symbol.asyncDispose]: close };
}

function findFreePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

async function untilItWorks(argv: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run(argv);
    } catch (error) {
      if (attempt === 50) throw error;
      await Bun.sleep(100);
    }
  }
}

async function run(argv: readonly string[]): Promise<void> {
  // A master goes on in the background with these, so they must not be pipes.
  const child = Bun.spawn([...argv], { stdio: ["ignore", "ignore", "ignore"] });
  if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")} ended with ${child.exitCode}`);
}
