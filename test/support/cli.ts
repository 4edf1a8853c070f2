import { Interrupts } from "../../src/cli/interrupts.ts";
import { main } from "../../src/cli/main.ts";
import { Sink } from "../../src/cli/sink.ts";
import type { FakeServer } from "./fake-server.ts";

/** What a command line has around it. */
export interface World {
  readonly server?: FakeServer;
  readonly env?: Record<string, string>;
  readonly failWith?: string;
  readonly stdin?: string;
  /** What reading stdin fails with, after that. */
  readonly stdinFault?: string;
}

/** Runs a command line inside this process, with streams of its own. */
export function start(
  words: readonly string[],
  { server, env, failWith, stdin = "", stdinFault }: World = {},
) {
  const written = { stdout: "", stderr: "" };
  const open = (name: "stdout" | "stderr") => () => ({
    write(bytes: Uint8Array | string) {
      if (failWith !== undefined && name === "stdout")
        throw Object.assign(new Error(failWith), { code: failWith });
      written[name] += Buffer.from(bytes).toString();
      return bytes.length;
    },
    flush: () => 0,
  });
  const interrupts = new Interrupts();
  const code = main(words, {
    env: env ?? { FARHAND_HOST: server?.url ?? "127.0.0.1:1", FARHAND_TOKEN: "t" },
    sinks: { stdout: new Sink("stdout", open("stdout")), stderr: new Sink("stderr", open("stderr")) },
    async *stdin() {
      if (stdin !== "") yield new TextEncoder().encode(stdin);
      if (stdinFault !== undefined) throw new Error(stdinFault);
    },
    interrupts,
    hasColors: () => false,
    screen: () => undefined,
    isStderrTerminal: () => false,
    terminal: () => undefined,
    localTerminal: async () => undefined,
  });
  return { code, written, interrupts };
}

/** The same to its end. */
export async function run(words: readonly string[], world: World = {}) {
  const { code, written } = start(words, world);
  return { code: await code, ...written };
}
