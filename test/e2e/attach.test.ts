import { describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openPane, type PaneOptions } from "../support/pane.ts";
import { testIf } from "../support/test-if.ts";
import { isRunning, openWorld, parseShown } from "../support/world.ts";

setDefaultTimeout(60_000);

const has = (...tools: string[]) => tools.every((tool) => Bun.which(tool) !== null);
const test = testIf(has("tmux"), "attaching to a terminal, as tmux is not installed");
const testWith = (...tools: string[]) =>
  testIf(has("tmux", ...tools), `${tools.join(", ")} on a terminal, as not installed`);

const LINES = Array.from(
  { length: 200 },
  (_, index) => `line ${index + 1} of the notes: \t漢字 é ${"x".repeat(index % 90)}`,
);

async function setup() {
  const world = openWorld();
  await world.start();
  writeFileSync(join(world.home, "notes"), `${LINES.join("\n")}\n`);
  writeFileSync(join(world.home, ".vimrc"), "syntax on\nset nocompatible hlsearch noswapfile viminfo=\n");
  const pane = (command: string, options?: PaneOptions) => openPane(world, `exec ${command}`, options);
  const detach = async (command: string, options?: PaneOptions) => {
    const first = await pane(`farhand exec -t -- ${command}`, options);
    return { first, leave: () => vanish(first) };
  };
  /** As a client whose machine is switched off. */
  const vanish = async ({ pid }: Awaited<ReturnType<typeof openPane>>) => {
    const client = await pid();
    process.kill(client, "SIGKILL");
    await eventually(() => !isRunning(client), 10_000);
  };
  return { ...world, pane, detach };
}

const PROGRAMS = [
  ["vi", "vi notes", ["50G", "/1 of", "Enter", "zt"], /line 5\d of/],
  ["vi", "vi notes", ["i", "half a word"], /half a word/],
  ["vi", "vi -c split notes", ["G"], /line 200 of/],
  ["less", "less notes", ["Space", "Space", "/line 6", "Enter"], /line 6\d of/],
  ["bash", "bash --norc --noprofile", ["ls -la; seq 12", "Enter", "echo half a li"], /half a li/],
  ["bash", "bash --norc --noprofile", [`echo ${"long ".repeat(30)}`], /long long/],
] as const;

describe("attach shows cell by cell what stood on a terminal before its client vanished", () => {
  for (const [tool, command, keys, shown] of PROGRAMS) {
    testWith(tool)(`of ${command} after ${keys.join(" ").slice(0, 40)}`, async () => {
      await using world = await setup();
      const { first, leave } = await world.detach(command);
      await first.settled();
      await first.type(...keys);
      await first.shows(shown);
      const [before, state] = [await first.settled(), await first.state()];
      await leave();
      const second = await world.pane("farhand attach 1");
      await second.shows(shown);
      expect(await second.settled()).toBe(before);
      expect(await second.state()).toBe(state);
    });

    testWith(tool)(
      `of ${command} after ${keys.join(" ").slice(0, 40)}, on a terminal of another size, as the program itself paints it there`,
      async () => {
        await using world = await setup();
        const { first, leave } = await world.detach(command);
        await first.settled();
        await first.type(...keys);
        await first.shows(shown);
        await first.settled();
        await leave();
        const second = await world.pane("farhand attach 1", { columns: 101, rows: 31 });
        await second.shows(shown);
        const attached = await second.settled();
        if (tool === "bash") return; // it paints its last line only
        await second.type("C-l");
        expect(await second.settled()).toBe(attached);
      },
    );
  }

  testWith("top")("of top, which goes on there", async () => {
    await using world = await setup();
    const { first, leave } = await world.detach("top -d 1");
    await first.shows(/PID USER/);
    await leave();
    const second = await world.pane("farhand attach 1", { columns: 100, rows: 20 });
    await second.shows(/load average[^]*PID USER[^]*COMMAND/);
    await second.type("q");
    expect(await second.ended()).toBe(0);
  });
});
