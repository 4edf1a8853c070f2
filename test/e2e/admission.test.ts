import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { Admission, parseInvite } from "../../src/protocol/invite.ts";
import { Pin } from "../../src/protocol/pin.ts";
import { eventually } from "../support/eventually.ts";
import { openGauge } from "../support/memory.ts";
import { hasTmux, openScreen } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { findTraceFault, killAt } from "../support/trace.ts";
import { isRunning, openWorld, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

const PASSWORD = "correct horse battery staple";

/** `unix`: the socket to post at, where nobody is penalized. */
function createPost(world: World, unix?: string) {
  return (path: string, body: object) =>
    fetch((unix === undefined ? world.local().url : "http://localhost") + path, {
      ...(unix !== undefined && { unix }),
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
}

async function setup() {
  const world = openWorld();
  await world.start();
  const post = createPost(world);
  const join = (secret: string, client?: string) => post("/v1/join", { secret, client });
  const login = (user: string, password: string) => post("/v1/login", { user, password });
  const invite = async (...args: string[]) => {
    const { code, stdout, stderr } = await world.farhandd(["invite", "--user", "bob", ...args]);
    if (code !== 0) throw new Error(stderr);
    return parseInvite(stdout);
  };
  const addUser = (name: string, ...args: string[]) =>
    world.farhandd(["user", "add", name, "--password-stdin", ...args], { stdin: `${PASSWORD}\n` });
  const list = async () => JSON.parse((await world.farhandd(["token", "list", "--json"])).stdout);
  return { ...world, post, join, login, invite, addUser, list };
}

describe("An invitation", () => {
  test("is one line that says where the server is, and is traded for a token once", async () => {
    await using world = await setup();
    const ran = await world.farhandd(["invite", "--user", "bob", "--role", "viewer"]);
    expect([ran.code, ran.stdout]).toEqual([0, expect.stringMatching(/^fhi_[\w-]+\n$/)]);
    expect(ran.stderr).toContain("becomes user bob, as viewer, once, within 10 m");
    const { secret, urls } = parseInvite(ran.stdout);
    expect(urls).toEqual([world.local().url]);
    const joined = await world.join(secret, "Bob's laptop");
    expect(joined.status).toBe(200);
    const { token, name, user } = v.parse(Admission, await joined.json());
    expect([name, user]).toEqual([expect.stringMatching(/^bob@Bob-s-laptop-[0-9a-f]{8}$/), "bob"]);
    const env = { FARHAND_TOKEN: token, FARHAND_STATE: undefined };
    expect((await world.farhand(["-H", world.local().url, "ping"], { env })).code).toBe(0);
    expect((await world.join(secret)).status).toBe(401);
    const log = readFileSync(join(world.state, "logs", "server.log"), "utf8");
    for (const hidden of [secret, token.slice(-43)]) expect(log).not.toContain(hidden);
  });

  test("is for whoever made it, as the system calls him, whatever his environment says", async () => {
    await using world = await setup();
    const whoami = (await world.shell("id -un")).stdout.trim();
    for (const env of [{ USER: "somebody", LOGNAME: "somebody" }, { USER: undefined }]) {
      const { stdout } = await world.farhandd(["invite", "--json"], { env });
      expect(JSON.parse(stdout)).toMatchObject({ user: whoami });
    }
    const audit = await world.farhandd(["audit", "show", "--json"]);
    expect(audit.stdout).not.toContain("somebody");
    expect(audit.stdout).toContain(whoami);
  });

  test("says what the other machine must say, and whether there can be one", async () => {
    await using world = await setup();
    const invite = async (...urls: string[]) =>
      (await world.farhandd(["invite", ...urls.flatMap((url) => ["--url", url])])).stderr;
    expect(await invite("https://web1:9922", "http://127.0.0.1:9922")).toEndWith(": farhand join LINE\n");
    expect(await invite("http://127.0.0.1:9922")).toContain("Only this machine can");
    const exposed = await invite("http://127.0.0.1.example:9922");
    expect(exposed).not.toContain("Only this machine can");
    expect(exposed).toEndWith(": farhand join --insecure LINE\n");
  });

  test("says by which key a server beyond loopback is known, whether it runs or not", async () => {
    await using world = openWorld();
    const listen = ["--listen", "0.0.0.0:0", "--name", "web1.lab"];
    await world.start(...listen);
    const invite = async (...args: string[]) =>
      parseInvite((await world.farhandd(["invite", "--user", "bob", ...args])).stdout);
    const pin = v.parse(Pin, (await world.farhandd(["fingerprint"])).stdout.trim());
    const running = await invite();
    expect([running.pin, running.urls.every((url) => url.startsWith("https://"))]).toEqual([pin, true]);
    expect((await invite("--url", "https://web1.lab:9922")).urls).toEqual(["https://web1.lab:9922"]);
    await world.farhandd(["stop"]);
    writeFileSync(join(world.home, "c.toml"), 'listen = "0.0.0.0:9922"\nname = "web1.lab"\n');
    const stopped = await invite("--config", join(world.home, "c.toml"));
    expect([stopped.pin, stopped.urls[0]]).toEqual([pin, "https://web1.lab:9922"]);
    const { code, stderr } = await world.farhandd(["invite", "--config", join(world.home, "c.toml")], {
      env: { FARHAND_STATE: join(world.home, "new") },
    });
    expect([code, stderr]).toEqual([1, expect.stringContaining("Cannot tell a fingerprint")]);
  });

  test("lets in one of twenty who come at the same moment", async () => {
    await using world = await setup();
    const { secret } = await world.invite();
    const answers = await Promise.all(Array.from({ length: 20 }, () => world.join(secret)));
    const refused = answers.filter(({ status }) => [401, 429].includes(status)); // too many from one address
    expect([answers.filter(({ ok }) => ok).length, refused.length]).toEqual([1, 19]);
    expect(await world.list()).toHaveLength(1);
  });

  test("is over in time, and with the user who was removed", async () => {
    await using world = await setup();
    const [short, removed] = [await world.invite("--expires", "1s"), await world.invite()];
    const end = Date.now() + 1_000;
    await eventually(() => Date.now() > end);
    const over = await world.join(short.secret);
    await world.farhandd(["user", "remove", "bob"]);
    expect([over.status, (await world.join(removed.secret)).status]).toEqual([401, 401]);
    expect((await world.join((await world.invite()).secret)).status).toBe(200);
    expect((await world.join(short.secret)).status).toBe(401);
  });

  test("is still good when the token could not be written down", async () => {
    await using world = await setup();
    const { secret } = await world.invite();
    using database = new Database(join(world.state, "auth.db"));
    database.run("BEGIN IMMEDIATE");
    expect((await world.join(secret)).status).toBe(503);
    database.run("ROLLBACK");
    expect((await world.join(secret)).status).toBe(200);
  });

  const fault = findTraceFault();
  testIf(fault === undefined, `a server under strace: ${fault}`)(
    "was traded for a token or is still good when the server is killed at any write on the way",
    async () => {
      await using world = await setup();
      const answers = [];
      for (let made = 1; answers.at(-1) !== 200; made++) {
        const { secret } = await world.invite();
        const { pid } = await world.status();
        const tracer = await killAt(world, pid, "pwrite64", made);
        const answered = await world.join(secret).then(
          ({ status }) => status,
          () => "cut off",
        );
        answers.push(answered);
        // The last time it takes fewer writes than that.
        if (answered === 200) tracer.kill("SIGTERM");
        else await eventually(() => !isRunning(pid), 30_000);
        const wasMade = (await world.list()).length === made;
        if (answered === 200) expect(wasMade).toBe(true);
        else await world.start();
        expect((await world.join(secret)).status).toBe(wasMade ? 401 : 200);
        expect(await world.list()).toHaveLength(made);
      }
      console.log(`Whoever joined heard ${answers.join(", ")}`);
      expect(answers.length).toBeGreaterThan(1);
    },
  );

  test.each([
    [["--role", "nope"], 'Cannot use role "nope"'],
    [["--user", "a b"], 'Cannot use user "a b"'],
    [["--expires", "8d"], "at most 7d"],
    [["--url", "ftp://x"], "write it as https://host:port"],
    [["--url", "https://u:p@x"], "write it as https://host:port"],
    [["--name", "a b"], "Cannot use --name"],
  ])("is refused with %j", async (args, why) => {
    await using world = openWorld();
    const { code, stdout, stderr } = await world.farhandd(["invite", ...args]);
    expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining(why)]);
  });
});

describe("Somebody who logs in", () => {
  test("trades a password for a token of his own with his roles", async () => {
    await using world = await setup();
    const added = await world.addUser("alice", "--role", "viewer");
    expect(added).toMatchObject({ code: 0, stdout: "User alice may log in, as viewer\n" });
    const answer = await world.login("alice", PASSWORD);
    const { token, user, expires } = v.parse(Admission, await answer.json());
    expect([answer.status, user, (expires ?? 0) > Date.now()]).toEqual([200, "alice", true]);
    const env = { FARHAND_TOKEN: token, FARHAND_STATE: undefined };
    const run = (...args: string[]) => world.farhand(["-H", world.local().url, ...args], { env });
    expect((await run("ping")).code).toBe(0);
    expect((await run("exec", "--", "true")).stderr).toContain("permission");
    await world.farhandd(["user", "passwd", "alice", "--password-stdin"], {
      stdin: "another horse battery staple",
    });
    await eventually(async () => (await run("ping")).code === 125);
    expect((await world.login("alice", PASSWORD)).status).toBe(401);
    expect((await world.login("alice", "another horse battery staple")).status).toBe(200);
  });

  test("hears the same, after the same time, when he is unknown and when the password is wrong", async () => {
    await using world = openWorld();
    const socket = join(world.home, "server.sock");
    await world.start("--listen", `unix:${socket}`, "--listen", "127.0.0.1:0");
    await world.farhandd(["user", "add", "alice", "--password-stdin"], { stdin: PASSWORD });
    const post = createPost(world, socket);
    const time = async (user: string, password: string) => {
      const began = performance.now();
      const answer = await post("/v1/login", { user, password });
      const text = await answer.text();
      return { text: `${answer.status} ${text}`, took: performance.now() - began };
    };
    await time("nobody", "first, which prepares"); // and takes longer, whoever it is
    const [wrong, unknown] = [[], []] as { text: string; took: number }[][];
    for (let n = 0; n < 5; n++) {
      wrong?.push(await time("alice", "wrong horse battery staple"));
      unknown?.push(await time("nobody", PASSWORD));
    }
    const all = [...(wrong ?? []), ...(unknown ?? [])];
    expect(new Set(all.map(({ text }) => text)).size).toBe(1);
    const fastest = (times: typeof wrong) => Math.min(...(times ?? []).map(({ took }) => took));
    // Without the work that a password takes it would be a hundredth.
    expect(fastest(unknown) / fastest(wrong)).toBeGreaterThan(0.3);
    expect(fastest(unknown) / fastest(wrong)).toBeLessThan(3);
  });

  test("waits in line when many do, and the line has an end; whoever has a token notices nothing", async () => {
    await using world = await setup();
    await world.addUser("alice");
    await world.login("alice", PASSWORD);
    const { pid } = await world.status();
    using gauge = openGauge([pid]);
    let isOver = false;
    const crowd = Promise.all(Array.from({ length: 60 }, () => world.login("alice", PASSWORD)));
    const over = crowd.finally(() => (isOver = true));
    while (!isOver) expect((await world.farhand(["ping"])).code).toBe(0);
    const statuses = (await over).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    // Two at a time, and sixteen in line; whoever comes when one has left may take a place.
    expect(statuses.filter((status) => status === 200).length).toBeWithin(18, 45);
    // Sixty at once would take 3.75 GiB.
    expect(gauge.peaks()[0]).toBeLessThan(512 * 1024 ** 2);
  });

  test("cannot forge a line of the log by his name, nor read his password in it", async () => {
    await using world = await setup();
    await world.login('x\n{"level":"info","message":"logged in","user":"root"}', "my secret password");
    await world.post("/v1/login", { user: "n".repeat(100_000), password: "my secret password" });
    await world.post("/v1/join", { secret: "a secret\nof two lines", client: "c\nd" });
    const log = readFileSync(join(world.state, "logs", "server.log"), "utf8");
    expect(log).not.toMatch(/^\{/m);
    for (const word of ["my secret", "a secret", "nnnn"]) expect(log).not.toContain(word);
  });
});

describe("farhandd user", () => {
  test.each([
    ["too short", "fourteen chars", "fewer than 15 characters"],
    ["one character", "a".repeat(40), "fewer than four different"],
    ["of more than 1,024 bytes", "long ".repeat(300), "more than 1024 bytes"],
    ["nothing", "", "fewer than 15 characters"],
  ])("takes no password that is %s", async (_, stdin, why) => {
    await using world = openWorld();
    const { code, stdout, stderr } = await world.farhandd(["user", "add", "alice", "--password-stdin"], {
      stdin,
    });
    expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining(why)]);
    expect((await world.farhandd(["user", "list"])).stdout).toBe("No users\n");
  });

  test("knows who there is, and refuses who there is not", async () => {
    await using world = openWorld();
    writeFileSync(join(world.home, "password"), PASSWORD);
    const user = (line: string) => world.shell(`farhandd user ${line} < password`);
    expect((await user("add alice --role viewer --password-stdin")).code).toBe(0);
    expect((await user("add alice --password-stdin")).stderr).toContain("there is one");
    expect((await user("add local --password-stdin")).stderr).toContain("reserved");
    expect((await user("add bob")).stderr).toContain("stdin is no terminal");
    expect((await user("roles alice")).stderr).toContain("say with --role");
    expect((await user("roles alice --role operator --role viewer")).code).toBe(0);
    expect(JSON.parse((await user("list --json")).stdout)).toMatchObject([
      { name: "alice", roles: ["operator", "viewer"] },
    ]);
    for (const line of ["passwd bob --password-stdin", "roles bob --role viewer", "remove bob"])
      expect((await user(line)).stderr).toContain("there is none of that name");
    expect((await user("remove alice")).stdout).toBe("User alice is removed, with 0 tokens\n");
  });

  testIf(hasTmux, "there is no tmux")(
    "asks for a password twice on a terminal, and shows nothing of it",
    async () => {
      await using world = openWorld();
      await using screen = await openScreen(
        world,
        "farhandd user add alice; farhandd user add bob; stty -a | grep -o -- '-\\?echo '",
      );
      await screen.shows("New password:");
      await screen.type(`wrong ${PASSWORD}`);
      await screen.press("C-u");
      await screen.type(`${PASSWORD}x`);
      await screen.press("BSpace", "Enter");
      await screen.shows("The same again:");
      await screen.type(PASSWORD);
      await screen.press("Enter");
      await screen.shows("User alice may log in");
      await screen.shows(/New password:[^]*New password:/);
      await screen.press("C-c");
      await screen.shows("[ended 0]");
      const shown = await screen.shown();
      expect(shown).toContain("Stopped, and nothing was changed");
      expect(shown).toContain("\necho");
      expect(shown).not.toContain("horse");
      expect(JSON.parse((await world.farhandd(["user", "list", "--json"])).stdout)).toHaveLength(1);
    },
  );
});

describe("A ticket", () => {
  test("opens one channel, as whom it was given to", async () => {
    await using world = await setup();
    const { url, token } = world.local();
    const issue = async () => {
      const answer = await fetch(`${url}/v1/ticket`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
      });
      return (await answer.json()) as { ticket: string; expires: number };
    };
    const open = (...protocols: string[]) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(`${url.replace("http", "ws")}/v1/channel`, protocols);
        socket.onopen = () => {
          resolve(`open ${socket.protocol}`);
          socket.close();
        };
        socket.onerror = () => resolve("refused");
      });
    const { ticket, expires } = await issue();
    expect(expires - Date.now()).toBeGreaterThan(20_000);
    const offer = `farhand.ticket.${ticket}`;
    expect(await open("farhand.v1")).toBe("refused");
    expect(await open("farhand.v1", offer)).toBe("open farhand.v1");
    expect(await open("farhand.v1", offer)).toBe("refused");
    const again = (await issue()).ticket;
    const inUrl = await fetch(`${url}/v1/status?ticket=${again}`, {
      headers: { "sec-websocket-protocol": `farhand.ticket.${again}` },
    });
    expect(inUrl.status).toBe(401);
    const all = await Promise.all(
      Array.from({ length: 5 }, () => open("farhand.v1", `farhand.ticket.${again}`)),
    );
    expect(all.filter((answer) => answer !== "refused")).toHaveLength(1);
  });

  test("dies with the token that it was given for", async () => {
    await using world = await setup();
    const { url } = world.local();
    const token = (await world.farhandd(["token", "create", "ci"])).stdout.trim();
    const answer = await fetch(`${url}/v1/ticket`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
    const { ticket } = (await answer.json()) as { ticket: string };
    await world.farhandd(["token", "revoke", "ci"]);
    const offer = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-protocol": `farhand.v1, farhand.ticket.${ticket}`,
    };
    expect((await fetch(`${url}/v1/channel`, { headers: offer })).status).toBe(401);
  });
});
