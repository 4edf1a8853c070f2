import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { eventually } from "./eventually.ts";
import { openWorld, type World } from "./world.ts";

/** A machine on which nothing is installed, whose server has commands of its own. */
export interface ModulesWorld extends World {
  /** A path below the server's directory of modules. */
  readonly at: (name: string) => string;
  /** Writes a file there. */
  readonly write: (name: string, text: string) => string;
  readonly configure: (text: string) => string;
  /** What `reload` says, and its exit code. */
  readonly reload: () => Promise<{ readonly code: number | null; readonly said: string }>;
  /** A command to its end, which must be good; what it wrote to stdout. */
  readonly ok: (...args: string[]) => Promise<string>;
  /** The end of one that must not be good: its exit code and what it wrote to stderr. */
  readonly bad: (...args: string[]) => Promise<string>;
  /** Waits until the server's log has a line that holds this. */
  readonly logged: (text: string) => Promise<void>;
}

/** `files`: what is in the directory of modules, by their names. */
export function openModulesWorld(files: Readonly<Record<string, string>> = {}): ModulesWorld {
  const world = openWorld();
  // Neither Bun nor Node nor any package of ours is found by what runs here.
  const bare = { ...world.env, PATH: "/usr/bin:/bin" };
  const at = (name: string) => join(world.state, "commands", name);
  mkdirSync(at(""), { recursive: true });
  chmodSync(world.state, 0o700);
  const write = (name: string, text: string) => {
    mkdirSync(dirname(at(name)), { recursive: true });
    writeFileSync(at(name), text);
    return at(name);
  };
  for (const [name, text] of Object.entries(files)) write(name, text);
  const farhand: World["farhand"] = (args, { env, ...options } = {}) =>
    world.farhand(args, { ...options, env: { PATH: bare.PATH, ...env } });
  return {
    ...world,
    at,
    write,
    farhand,
    configure(text) {
      const path = join(world.home, "farhandd.toml");
      writeFileSync(path, text);
      return path;
    },
    async reload() {
      const { code, stdout, stderr } = await world.farhandd(["reload"]);
      return { code, said: stdout + stderr };
    },
    async ok(...args) {
      const { code, stdout, stderr } = await farhand(args);
      if (code !== 0) throw new Error(`farhand ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
      return stdout;
    },
    async bad(...args) {
      const { code, stdout, stderr } = await farhand(args);
      if (code === 0) throw new Error(`farhand ${args.join(" ")} ended well: ${stdout}${stderr}`);
      return `${code} ${stderr}`;
    },
    async logged(text) {
      const log = Bun.file(join(world.state, "logs", "server.log"));
      await eventually(async () => (await log.text()).includes(text), 20_000);
    },
  };
}
