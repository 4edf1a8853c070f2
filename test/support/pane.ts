import { writeFileSync } from "node:fs";
import { eventually } from "./eventually.ts";
import type { World } from "./world.ts";

export interface PaneOptions {
  readonly columns?: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** A terminal of tmux, in which one command runs as in a person's window. It stays when that has ended. */
export interface Pane {
  /** What stands there, a row per line, with its colours. */
  readonly capture: () => Promise<string>;
  /** The same without colours. */
  readonly text: () => Promise<string>;
  /** Column and row of the cursor, whether it shows, and modes that steer what keys send. */
  readonly state: () => Promise<string>;
  /** Types keys as tmux names them: `Enter`, `C-c`, `Escape`, or text. */
  readonly type: (...keys: string[]) => Promise<void>;
  readonly resize: (columns: number, rows: number) => Promise<void>;
  /** Resolves once something stands there. */
  readonly shows: (what: string | RegExp) => Promise<void>;
  /** Resolves with what stands there once that is the same for a while. */
  readonly settled: () => Promise<string>;
  /** Resolves with the exit code of the command once it has ended. */
  readonly ended: () => Promise<number>;
  /** The command's process. */
  readonly pid: () => Promise<number>;
}

const STATE =
  "#{cursor_x} #{cursor_y} #{cursor_flag} #{alternate_on} #{keypad_cursor_flag} #{keypad_flag} #{mouse_any_flag} #{scroll_region_upper} #{scroll_region_lower} #{insert_flag} #{wrap_flag}";

/** That it stays when its command has ended, shows nothing else, and obeys when it is told its size. */
const OPTIONS = `set -g remain-on-exit on
set -g status off
set -g default-terminal tmux-256color
`;

/** Opens one with a server of its own, which the world ends. */
export async function openPane(
  world: World,
  command: string,
  { columns = 80, rows = 24, env = {} }: PaneOptions = {},
): Promise<Pane> {
  const socket = `${world.home}/${crypto.randomUUID().slice(0, 8)}.tmux`;
  writeFileSync(`${socket}.conf`, OPTIONS);
  const tmux = async (...args: string[]) => {
    const quoted = args.map((arg) => `'${arg.replaceAll("'", `'\\''`)}'`).join(" ");
    const { code, stdout, stderr } = await world.shell(`tmux -S ${socket} -f ${socket}.conf ${quoted}`, {
      env: { TMUX: undefined, TERM: "xterm-256color", LC_ALL: "C.UTF-8", PS1: "$ ", ...env },
    });
    if (code !== 0) throw new Error(`tmux ${args.join(" ")} failed: ${stderr}`);
    return stdout;
  };
  const size = ["-x", String(columns), "-y", String(rows)];
  await tmux("new-session", "-d", ...size, command);
  const ask = async (what: string) => (await tmux("display-message", "-p", what)).trim();
  const capture = () => tmux("capture-pane", "-e", "-p");
  const text = () => tmux("capture-pane", "-p");
  return {
    capture,
    text,
    state: () => ask(STATE),
    type: async (...keys) => void (await tmux("send-keys", ...keys)),
    resize: async (columns, rows) =>
      void (await tmux("resize-window", "-x", String(columns), "-y", String(rows))),
    async shows(what) {
      let shown = "";
      const isThere = async () => {
        shown = await text();
        return typeof what === "string" ? shown.includes(what) : what.test(shown);
      };
      await eventually(isThere, 20_000).catch(() => {
        throw new Error(`Nothing shows ${what} in:\n${shown}`);
      });
    },
    async settled() {
      let [before, same] = ["", 0];
      await eventually(async () => {
        const now = `${await capture()}${await ask(STATE)}`;
        same = now === before ? same + 1 : 0;
        before = now;
        return same >= 4;
      }, 20_000);
      return capture();
    },
    async ended() {
      await eventually(async () => (await ask("#{pane_dead}")) === "1", 20_000);
      return Number(await ask("#{pane_dead_status}"));
    },
    pid: async () => Number(await ask("#{pane_pid}")),
  };
}
