import { describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openScreen, type Screen, type ScreenOptions } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, parseShown } from "../support/world.ts";

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

const [, ...BUSY] = PROGRAMS[0] as (typeof PROGRAMS)[number];

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

  for (const [name, program, act] of PROGRAMS.filter(
    ([name, program]) => program !== BASH && !name.includes("word"),
  )) {
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

  test("has a program paint what its record is too long to tell, though the size is the same", async () => {
    await using world = await setup();
    // Its frame is painted only at first and when the size changes, and then are megabytes in one cell.
    const paint = `printf '\\e[2J\\e[1;1Hframe at the top\\e[20;1Hframe at the bottom'`;
    const flood = `i=0; while [ $i -lt 400 ]; do i=$((i+1)); printf '%s' "$x"; done; printf '\\e[10;1Hdone'`;
    const unit = `x=$(head -c 10000 /dev/zero | tr '\\0' ' ' | sed 's/ /\\r/g')`;
    writeFileSync(
      join(world.home, "still"),
      `trap "${paint}" WINCH; ${unit}; ${paint}; ${flood}; while :; do sleep 0.1; done`,
    );
    await world.leave("bash still", async (screen) => {
      await screen.shows("done");
    });
    expect((await world.job("1")).terminal).toMatchObject(SIZE);
    const screen = await world.sit("farhand attach 1");
    await screen.shows(/frame at the top[^]*frame at the bottom/);
  });

  test("finds everything there after the server was killed and started again", async () => {
    await using world = await setup();
    const before = await world.leave(...BUSY);
    process.kill((await world.status()).pid, "SIGKILL");
    await eventually(async () => (await world.farhandd(["status"])).code !== 0, 20_000);
    await world.start();
    const screen = await world.sit("farhand attach 1");
    await screen.shows("line 53 of");
    expect(await screen.settled()).toBe(before);
  });

  test("comes back to what was left by ~d, and leaves our terminal as it was", async () => {
    await using world = await setup();
    const near = await world.sit("echo here before; farhand exec -t -e LC_ALL=C.UTF-8 -- less notes");
    await near.shows("line 1 of");
    const before = await near.settled();
    await near.press("~", "d");
    await near.shows(/here before\n[^]*Detached from job [^]*farhand attach [^]*\[ended 75\]/);
    expect(await near.settled()).toContain("alternate_on=0 keypad_cursor_flag=0 keypad_flag=0");
    const screen = await world.sit("farhand attach @last");
    await screen.shows("line 1 of");
    expect(await screen.settled()).toBe(before);
    await screen.press("q");
    await screen.shows("[ended 0]");
  });

  test("lets several see and type, and the last that came sets the size", async () => {
    await using world = await setup();
    const first = await world.sit(`farhand exec -t -- ${BASH}`);
    await first.shows(/[$#]$/);
    const second = await world.sit("farhand attach 1", { columns: 60, rows: 20 });
    await second.shows(/[$#]$/);
    await second.press("stty size; echo from the second", "Enter");
    for (const screen of [first, second]) await screen.shows(/20 60\n.*from the second/);
    await first.press("echo from the first", "Enter");
    for (const screen of [first, second]) await screen.shows(/\nfrom the first/);
    await second.press("exit 4", "Enter");
    for (const screen of [first, second]) await screen.shows("[ended 4]");
  });

  test("--read-only shows everything, and nothing that is typed or changed there reaches the job", async () => {
    await using world = await setup();
    const first = await world.sit(`farhand exec -t -- ${BASH}`);
    await first.shows(/[$#]$/);
    const onlooker = await world.sit("farhand attach 1 --read-only", { columns: 100, rows: 30 });
    await onlooker.shows(/[$#]$/);
    await onlooker.press("echo intruder", "Enter", "C-d", "C-c");
    await onlooker.resize(90, 25);
    await first.press("stty size; echo mine", "Enter");
    await onlooker.shows(/24 80\n.*mine/);
    expect(await first.shown()).not.toContain("intruder");
    await onlooker.press("Enter", "~", "d");
    await onlooker.shows("[ended 75]");
    await first.press("exit", "Enter");
    await first.shows("[ended 0]");
  });

  test("--read-only passes no signal on either", async () => {
    await using world = await setup();
    const job = await world.detach("-t", "--", "cat");
    const onlooker = await world.sit("farhand attach 1 --read-only");
    await eventually(() => world.clients().length === 1, 20_000);
    for (const pid of world.clients()) process.kill(pid, "SIGTERM");
    await onlooker.shows("[ended 143]");
    expect((await world.job(job)).state).toBe("running");
  });

  test("lets no terminal answer what was asked in the past, nor at all where somebody only looks on", async () => {
    await using world = await setup();
    const ask = "printf '\\e[c\\e[>c\\e[6n\\e]10;?\\a\\eP$q q\\e\\\\\\005asked'";
    writeFileSync(
      join(world.home, "asker"),
      `stty raw -echo; ${ask}; while [ ! -e again ]; do sleep 0.05; done; ${ask}; exec cat -v > got`,
    );
    const job = await world.detach("-t", "--", "bash", "asker");
    await eventually(
      async () =>
        ((await world.job(job)).totals ?? (await world.farhand(["follow", job, "--no-follow"]))) !==
        undefined,
      20_000,
    );
    const onlooker = await world.sit("farhand attach 1 --read-only");
    await onlooker.shows("asked");
    const follower = await world.sit("farhand follow 1");
    await follower.shows("asked");
    const screen = await world.sit("farhand attach 1");
    await screen.shows("asked");
    writeFileSync(join(world.home, "again"), "");
    for (const looking of [onlooker, follower, screen]) await looking.shows("askedasked");
    await screen.press("typed");
    await world.exists("got");
    // What the terminal of the one that types answers to the second question is meant for the program; nothing else comes.
    const got = async () => (await world.shell("cat got")).stdout;
    await eventually(async () => (await got()).includes("typed"), 20_000);
    expect((await got()).match(/\^\[\[\?[\d;]*c/g)).toHaveLength(1);
    await world.farhand(["kill", job]);
    // Nothing was left in the followers' own input either: it would stand behind the end.
    for (const looking of [onlooker, follower]) {
      await looking.shows(/\[ended \d+\]/);
      expect(await looking.settled()).toMatch(/\[ended \d+\]\n*cursor/);
    }
  });

  test("leaves our terminal as it was when the program is killed", async () => {
    await using world = await setup();
    const screen = await world.sit("echo here before; farhand exec -t -e LC_ALL=C.UTF-8 -- less notes");
    await screen.shows("line 1 of");
    const other = await world.sit("echo there before; farhand attach 1");
    await other.shows("line 1 of");
    await world.farhand(["kill", "1", "--signal", "KILL"]);
    await screen.shows(/here before\n[^]*\[ended 137\]/);
    await other.shows(/there before\n[^]*\[ended 137\]/);
    for (const looking of [screen, other])
      expect(await looking.settled()).toContain("alternate_on=0 keypad_cursor_flag=0 keypad_flag=0");
  });

  test("without a terminal takes part in what a job reads and writes, and exits with its code", async () => {
    await using world = await setup();
    const job = await world.detach(
      "--open-stdin",
      "--shell",
      "echo ready; read a; echo got $a; echo err >&2; exit 5",
    );
    await eventually(
      async () => (await world.farhand(["follow", job, "--no-follow"])).stdout === "ready\n",
      20_000,
    );
    expect(await world.farhand(["attach", job], { stdin: "hello\n" })).toEqual({
      code: 5,
      signal: null,
      stdout: "ready\ngot hello\n",
      stderr: "err\n",
    });
  });

  test("without a terminal passes Ctrl-C on", async () => {
    await using world = await setup();
    const job = await world.detach(
      "--shell",
      "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.05; done",
    );
    const client = world.open(["farhand", "attach", job, "--no-stdin"]);
    await eventually(() => client.said() === "ready\n", 20_000);
    client.kill("SIGINT");
    expect(await client.ran).toMatchObject({ code: 6, stdout: "ready\ncaught\n" });
  });

  test("as JSON is what exec writes", async () => {
    await using world = await setup();
    const job = await world.detach("--", "echo", "one");
    await world.farhand(["wait", job]);
    const { stdout, code } = await world.farhand(["attach", "--json", job]);
    expect([code, parseShown(stdout)]).toEqual([
      0,
      [
        { type: "accepted", job, number: 1 },
        expect.objectContaining({ type: "stdout", text: "one\n" }),
        expect.objectContaining({ type: "exit", outcome: { type: "exited", code: 0 } }),
      ],
    ]);
  });

  test("tells that a job has ended, shows what it left, and exits with its code", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "echo left; exit 9");
    await world.farhand(["wait", job]);
    expect(await world.farhand(["attach", job])).toMatchObject({
      code: 9,
      stdout: "left\n",
      stderr: "farhand: Job 1 has ended: this is what it left\n",
    });
    await world.detach("-t", "--shell", "echo on a terminal; exit 8");
    await world.farhand(["wait", "2"]);
    const screen = await world.sit("farhand attach 2");
    await screen.shows(/on a terminal\n[^]*\[ended 8\]/);
  });
});

describe("farhand follow --replay", () => {
  test("plays a terminal back with its pauses, to the same screen, and leaves ours as it was when it is stopped", async () => {
    await using world = await setup();
    const before = await world.leave(...BUSY);
    const screen = await world.sit("farhand follow 1 --replay");
    await screen.shows("line 53 of");
    expect(withoutKeys(await screen.settled())).toBe(withoutKeys(before));
    await screen.press("C-c");
    await screen.shows("[ended 130]");
    expect(await screen.settled()).toContain(
      "cursor_flag=1 alternate_on=0 keypad_cursor_flag=0 keypad_flag=0",
    );
  });

  test("takes as long as the job took, and as many times less as it is told", async () => {
    await using world = await setup();
    await world.detach("-t", "--shell", "echo one; sleep 1; echo two");
    await world.farhand(["wait", "1"]);
    const time = async (...args: string[]) => {
      const begin = performance.now();
      const { stdout } = await world.farhand(["follow", "1", ...args]);
      expect(stdout).toBe("one\r\ntwo\r\n");
      return performance.now() - begin;
    };
    const whole = await time("--replay");
    expect(whole).toBeGreaterThan(950);
    expect(whole).toBeLessThan(10_000);
    expect(await time("--replay", "--speed", "0.5")).toBeGreaterThan(1_900);
    for (const args of [
      ["--speed", "1000"],
      ["--max-pause", "1ms"],
    ])
      expect(await time("--replay", ...args)).toBeLessThan(whole);
  });

  test("shows sizes among packets, and says when our terminal has another one", async () => {
    await using world = await setup();
    await world.leave(BASH, async (screen) => {
      await screen.shows(/[$#]$/);
      await screen.resize(70, 20);
      await eventually(
        async () =>
          (await world.farhand(["follow", "1", "--json", "--no-follow"])).stdout.includes('"resize"'),
        20_000,
      );
    });
    await world.farhand(["kill", "1"]);
    expect(await world.packets("1")).toContainEqual(
      expect.objectContaining({ type: "resize", columns: 70, rows: 20 }),
    );
    const screen = await world.sit("farhand follow 1 --replay --speed 100", { columns: 100, rows: 30 });
    await screen.shows("The terminal of job 1 has 80 × 24 characters, this one has 100 × 30");
    await screen.shows("The terminal of job 1 got 70 × 20 characters, this one has 100 × 30");
  });

  test("is refused where it means nothing", async () => {
    await using world = await setup();
    await world.detach("--", "true");
    await world.detach("--", "true");
    for (const [args, why] of [
      [["1", "--speed", "2"], "Cannot use --speed without --replay"],
      [["1", "--max-pause", "1s"], "Cannot use --max-pause without --replay"],
      [["1", "--replay", "--speed", "0"], 'Cannot read --speed "0"'],
      [["1", "2", "--replay"], "Cannot play back more than one job at once"],
    ] as const)
      expect(await world.farhand(["follow", ...args])).toMatchObject({
        code: 125,
        stderr: expect.stringContaining(why),
      });
  });
});

/** A screen as whoever only looks on has it: his keys send what they send. */
function withoutKeys(looked: string): string {
  return looked.replace(/ mouse_any_flag=\d/, "");
}

test("A terminal that tells no size leaves the job's as it is", async () => {
  await using world = await setup();
  await world.detach("-t", "--", "sh", "-c", "while read line; do echo got $line; done");
  const before = (await world.job("@last")) as { terminal?: unknown };
  const screen = await world.sit("stty columns 0 rows 0; farhand attach @last");
  await screen.type("this\r");
  await screen.shows("got this");
  expect(((await world.job("@last")) as { terminal?: unknown }).terminal).toEqual(before.terminal);
});
