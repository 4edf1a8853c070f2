import { describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openScreen, type Screen, type ScreenOptions } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const test = testIf(
  ["tmux", "vi", "less", "top"].every((tool) => Bun.which(tool) !== null),
  "attaching to terminals, which takes tmux, vim-tiny, less and procps",
);

const SIZE = { columns: 80, rows: 24 };
const NOTES = Array.from(
  { length: 200 },
  (_, index) => `line ${index + 1} of the notes: \t漢字 é ${"x".repeat(index % 90)}`,
);
const BASH = `bash --norc --noprofile`;

async function setup() {
  const world = openWorld();
  await world.start();
  writeFileSync(join(world.home, "notes"), `${NOTES.join("\n")}\n`);
  writeFileSync(join(world.home, ".vimrc"), "set nocompatible noswapfile viminfo=\n");
  const sit = (line: string, size: ScreenOptions = SIZE) => openScreen(world, line, size);
  const clients = () => world.processes(/^\S*farhand (exec|attach) /);
  /** As if the client's machine were switched off. */
  const vanish = async () => {
    for (const pid of clients()) process.kill(pid, "SIGKILL");
    await eventually(() => clients().length === 0, 10_000);
  };
  /** Runs a program on a terminal, does something there, and is gone; answers how that looked. */
  const leave = async (program: string, act: (screen: Screen) => Promise<void>, size?: ScreenOptions) => {
    const screen = await sit(`farhand exec -t -e LC_ALL=C.UTF-8 -- ${program}`, size);
    await act(screen);
    const looked = await screen.settled();
    await vanish();
    return looked;
  };
  const exists = (name: string) => eventually(() => existsSync(join(world.home, name)), 20_000);
  return { ...world, sit, vanish, leave, exists, clients };
}

/** What is done in a program, and what then stands there. */
const PROGRAMS: readonly (readonly [
  name: string,
  program: string,
  act: (screen: Screen) => Promise<void>,
])[] = [
  [
    "vi amid a file, with the matches of a search",
    "vi notes",
    async (screen) => {
      await screen.shows("line 1 of");
      await screen.press("50G", "z", "Enter", "/3 of", "Enter");
      await screen.shows(/line 53 of[^]*\/3 of/);
    },
  ],
  [
    "vi at the end of a file, amid a word",
    "vi notes",
    async (screen) => {
      await screen.shows("line 1 of");
      await screen.press("G", "o", "half a wo");
      await screen.shows("half a wo");
    },
  ],
  [
    "vi with two windows",
    "vi notes",
    async (screen) => {
      await screen.shows("line 1 of");
      await screen.press(":split", "Enter", "100G");
      await screen.shows("line 100 of");
    },
  ],
  [
    "less amid a file",
    "less notes",
    async (screen) => {
      await screen.shows("line 1 of");
      await screen.press("Space", "/line 6", "Enter");
      await screen.shows(/line 60 of/);
    },
  ],
  [
    "bash with half a line typed",
    BASH,
    async (screen) => {
      await screen.shows(/[$#]$/);
      await screen.press("seq 30; printf '\\e[31mred\\e[m\\n'", "Enter", "echo half a li");
      await screen.shows(/red\n.*echo half a li/);
    },
  ],
  [
    "bash with a line that goes on in the next row",
    BASH,
    async (screen) => {
      await screen.shows(/[$#]$/);
      await screen.press(`echo ${"long ".repeat(30)}end`);
      await screen.shows("end");
    },
  ],
];

describe("farhand attach", () => {
  for (const [name, program, act] of PROGRAMS) {
    test(`shows cell by cell what stood there before its client vanished: ${name}`, async () => {
      await using world = await setup();
      const before = await world.leave(program, act);
      const screen = await world.sit("farhand attach 1");
      await eventually(async () => (await screen.settled()) === before, 10_000).catch(() => {});
      expect(await screen.settled()).toBe(before);
    });
  }

  for (const [name, program, act] of PROGRAMS.filter(([, program]) => program !== BASH)) {
    test(`on a terminal of another size shows what the program paints for that: ${name}`, async () => {
      await using world = await setup();
      await world.leave(program, act);
      const screen = await world.sit("farhand attach 1", { columns: 101, rows: 31 });
      await screen.shows(/of the notes/);
      const attached = await screen.settled();
      await screen.press("C-l");
      expect(await screen.settled()).toBe(attached);
    });
  }

  test("goes on with what was begun: half a line of bash, on a terminal of another size", async () => {
    await using world = await setup();
    await world.leave(BASH, async (screen) => {
      await screen.shows(/[$#]$/);
      await screen.press("echo one; echo half; exit 3");
      await screen.shows("exit 3");
    });
    const screen = await world.sit("farhand attach @last", { columns: 60, rows: 12 });
    await screen.shows("exit 3");
    await screen.press("Enter");
    await screen.shows(/one\nhalf\nexit\n\[ended 3\]/);
  });

  test("shows top, which goes on there", async () => {
    await using world = await setup();
    await world.leave("top -d 1", (screen) => screen.shows(/PID USER/));
    const screen = await world.sit("farhand attach 1", { columns: 100, rows: 20 });
    await screen.shows(/load average[^]*PID USER[^]*COMMAND/);
    await screen.press("q");
    await screen.shows("[ended 0]");
  });
});
