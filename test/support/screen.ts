import { rmSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "./eventually.ts";

/** A terminal that a person might sit at. */
export interface Screen extends Disposable {
  /** Types text as it is. */
  type(text: string): void;
  /** Presses keys by their names in tmux: `Enter`, `C-c`. */
  press(...keys: readonly string[]): void;
  /** Pastes what a file holds, byte for byte. */
  paste(path: string): void;
  resize(columns: number, rows: number): void;
  /** The path of its device. */
  readonly device: string;
  /** The lines that it shows, without trailing blanks. */
  read(): string;
  /** The same with colours. */
  paint(): string;
  /** Waits until it shows this, and answers all that it shows. */
  see(what: RegExp, ms?: number): Promise<string>;
}

/** A screen of 100 by 30 characters, driven by tmux, on which a command line runs. */
export function openScreen(directory: string, line: string, env: Readonly<Record<string, string>>): Screen {
  const socket = join(directory, `screen-${crypto.randomUUID().slice(0, 8)}`);
  const tmux = (...words: readonly string[]) => {
    const ran = Bun.spawnSync(["tmux", "-f", "/dev/null", "-S", socket, ...words], {
      env: { ...env, LANG: "C.UTF-8" },
    });
    if (ran.exitCode !== 0) throw new Error(`tmux ${words[0]}: ${ran.stderr.toString()}`);
    return ran.stdout.toString();
  };
  tmux("-u", "new-session", "-d", "-c", directory, "-x", "100", "-y", "30", line);
  const read = () => tmux("capture-pane", "-p").trimEnd();
  return {
    type: (text) => void tmux("send-keys", "-l", "--", text),
    press: (...keys) => void tmux("send-keys", ...keys),
    paste(path) {
      tmux("load-buffer", path);
      tmux("paste-buffer", "-r");
    },
    resize: (columns, rows) => void tmux("resize-window", "-x", String(columns), "-y", String(rows)),
    device: tmux("display-message", "-p", "#{pane_tty}").trim(),
    read,
    paint: () => tmux("capture-pane", "-p", "-e").trimEnd(),
    async see(what, ms = 20_000) {
      await eventually(() => what.test(read()), ms).catch(() => {
        throw new Error(`The screen never showed ${what}, but\n${read()}`);
      });
      return read();
    },
    [Symbol.dispose]() {
      Bun.spawnSync(["tmux", "-S", socket, "kill-server"]);
      rmSync(socket, { force: true });
    },
  };
}
