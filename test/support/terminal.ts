import { join } from "node:path";
import { eventually } from "./eventually.ts";
import type { World } from "./world.ts";

/** A program on a terminal of its own, as tmux shows it. */
export interface Screen extends AsyncDisposable {
  /** Presses keys, by tmux's names: `Enter`, `Tab`, `C-c`, `Up`. */
  readonly press: (...keys: string[]) => Promise<void>;
  /** Types text as it is. */
  readonly type: (text: string) => Promise<void>;
  /** Pastes text in one go. */
  readonly paste: (text: string) => Promise<void>;
  /** What is on the screen, with what has left it at the top, without empty lines at the end. */
  readonly shown: () => Promise<string>;
  /** What is on the screen once it stays the same for a while: cells with their colours, the cursor, and modes. */
  readonly settled: () => Promise<string>;
  /** Resolves once this is on the screen. */
  readonly shows: (text: string | RegExp, within?: number) => Promise<void>;
  readonly resize: (columns: number, rows: number) => Promise<void>;
}

export interface ScreenOptions {
  readonly columns?: number;
  readonly rows?: number;
}

/** How often a screen must look the same, one look after another, to count as settled. */
const SETTLED_LOOKS = 10;

/** Cursor, and modes that show, or that change what keys send. */
const STATE = ["cursor_x", "cursor_y", "cursor_flag", "alternate_on", "keypad_cursor_flag", "keypad_flag"]
  .concat(["mouse_any_flag", "scroll_region_upper", "scroll_region_lower", "insert_flag", "wrap_flag"])
  .map((name) => `${name}=#{${name}}`)
  .join(" ");

/** Whether this machine has what it takes. */
export const hasTmux: boolean = Bun.which("tmux") !== null;

/** Runs a line of bash in a world, on a terminal. The terminal stays when the line has ended, which it says as `[ended CODE]`. */
export async function openScreen(
  world: World,
  line: string,
  { columns = 100, rows = 40 }: ScreenOptions = {},
): Promise<Screen> {
  const socket = join(world.home, `.tmux-${crypto.randomUUID().slice(0, 8)}`);
  const tmux = async (args: readonly string[], stdin = "") => {
    const child = Bun.spawn(["tmux", "-S", socket, "-f", "/dev/null", ...args], {
      cwd: world.home,
      env: { ...world.env, LC_ALL: "C.UTF-8", TERM: "xterm-256color", SHELL: "/bin/sh" },
      stdin: new TextEncoder().encode(stdin),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (child.exitCode !== 0) throw new Error(`tmux ${args[0]} ended with ${child.exitCode}: ${stderr}`);
    return stdout;
  };
  const size = ["-x", String(columns), "-y", String(rows)];
  const script = `${line}; echo "[ended $?]"; exec cat >/dev/null`;
  await tmux(["new-session", "-d", ...size, "-s", "screen", "bash", "--norc", "-c", script]);
  const look = async () => {
    const cells = await tmux(["capture-pane", "-p", "-e", "-t", "screen"]);
    return `${cells}${await tmux(["display-message", "-p", "-t", "screen", STATE])}`;
  };
  const shown = async () => (await tmux(["capture-pane", "-p", "-S", "-", "-t", "screen"])).trimEnd();
  return {
    press: async (...keys) => void (await tmux(["send-keys", "-t", "screen", ...keys])),
    type: async (text) => void (await tmux(["send-keys", "-t", "screen", "-l", "--", text])),
    async paste(text) {
      await tmux(["load-buffer", "-b", "pasted", "-"], text);
      await tmux(["paste-buffer", "-r", "-d", "-b", "pasted", "-t", "screen"]);
    },
    shown,
    async settled() {
      let [before, times] = ["", 0];
      await eventually(async () => {
        const now = await look();
        times = now === before ? times + 1 : 0;
        before = now;
        return times >= SETTLED_LOOKS;
      }, 30_000);
      return before;
    },
    async shows(text, within = 30_000) {
      let last = "";
      const isThere = async () => {
        last = await shown();
        return typeof text === "string" ? last.includes(text) : text.test(last);
      };
      await eventually(isThere, within).catch(() => {
        throw new Error(`Not shown within ${within} ms: ${text}\n${last.slice(-2_000)}`);
      });
    },
    resize: async (x, y) =>
      void (await tmux(["resize-window", "-t", "screen", "-x", String(x), "-y", String(y)])),
    async [Symbol.asyncDispose]() {
      await tmux(["kill-server"]).catch(() => {}); // the world has ended it
    },
  };
}
