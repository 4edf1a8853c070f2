import { FARHAND } from "../support/built.ts";
import { parseShown } from "../support/world.ts";
import { toCode, type Written } from "./program.ts";

/** What a client wrote, and how it ended. */
export interface Heard extends Written {
  /** What it says of itself, as text. */
  readonly own: string;
  /** Whether we have killed it. */
  readonly isKilled: boolean;
}

export interface ClientOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly stdin?: Uint8Array | undefined;
}

/** The clients that run now, for whoever wants to harm one. */
export class Clients {
  readonly #running = new Map<Bun.Subprocess, { isKilled: boolean }>();

  get running(): readonly Bun.Subprocess[] {
    return [...this.#running.keys()];
  }

  kill(client: Bun.Subprocess): void {
    const state = this.#running.get(client);
    if (state === undefined) return;
    state.isKilled = true;
    client.kill("SIGKILL");
  }

  /** Runs a client to its end. */
  async run(words: readonly string[], { env, cwd, stdin }: ClientOptions): Promise<Heard> {
    const child = Bun.spawn([FARHAND, ...words], {
      env,
      cwd,
      stdin: stdin ?? "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const state = { isKilled: false };
    this.#running.set(child, state);
    const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.bytes(), child.exited]);
    this.#running.delete(child);
    const heard = { ...state, code: toCode(child.exitCode, child.signalCode) };
    return words.includes("--json") ? fromJson(stdout, stderr, heard) : fromPlain(stdout, stderr, heard);
  }
}

type Ended = Pick<Heard, "isKilled" | "code">;

/** Our own lines stand among the job's in stderr; no program of the soak writes any that begin so. */
function fromPlain(stdout: Uint8Array, stderr: Uint8Array, ended: Ended): Heard {
  const lines = Buffer.from(stderr)
    .toString("latin1")
    .split(/(?<=\n)/);
  const isOwn = (line: string) => line.startsWith("farhand: ");
  return {
    ...ended,
    stdout: Buffer.from(stdout),
    stderr: Buffer.from(lines.filter((line) => !isOwn(line)).join(""), "latin1"),
    own: lines.filter(isOwn).join(""),
  };
}

function fromJson(stdout: Uint8Array, stderr: Uint8Array, ended: Ended): Heard {
  const text = Buffer.from(stdout).toString();
  // A client that was killed may have left half a line.
  const packets = parseShown(text.slice(0, text.lastIndexOf("\n") + 1));
  const join = (stream: "stdout" | "stderr") =>
    Buffer.concat(
      packets.flatMap((packet) => {
        if (packet.type !== stream) return [];
        const { text, bytes } = packet;
        return [text === undefined ? Buffer.from(bytes ?? "", "base64") : Buffer.from(text)];
      }),
    );
  const errors = text.split("\n").filter((line) => line.startsWith('{"type":"error"'));
  return {
    ...ended,
    stdout: join("stdout"),
    stderr: join("stderr"),
    own: `${errors.join("\n")}${Buffer.from(stderr)}`,
  };
}
