import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(120_000);

const executablePath = Bun.which("chromium") ?? undefined;
const test = testIf(executablePath !== undefined, "there is no chromium");

let world: World;
let browser: Browser;
/** Serves pages that mean harm. */
let evil: Bun.Server<undefined>;
/** The server, as `127.0.0.1:port`. */
let server: string;
let port: string;

beforeAll(async () => {
  if (executablePath === undefined) return;
  world = openWorld();
  server = String((await world.start()).listen[0]);
  port = server.split(":")[1] ?? "";
  evil = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () =>
      new Response("<!doctype html><title>evil</title><body></body>", {
        headers: { "content-type": "text/html" },
      }),
  });
  browser = await chromium.launch({
    executablePath,
    args: [
      "--no-sandbox", // for root, as whom there is none
      "--host-resolver-rules=MAP *.example 127.0.0.1",
      // It is the server that is to refuse, not a browser that asks first.
      "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    ],
  });
});

afterAll(async () => {
  await browser?.close();
  await evil?.stop(true);
  await world?.[Symbol.asyncDispose]();
});

/** A page of somebody else's: on another port of this machine, and on another machine as far as the browser knows. */
const origins = [
  ["another port", () => `http://127.0.0.1:${evil.port}`],
  ["another host", () => `http://evil.example:${evil.port}`],
] as const;

async function open(origin: string): Promise<Page & AsyncDisposable> {
  const page = await browser.newPage();
  await page.goto(origin);
  return Object.assign(page, { [Symbol.asyncDispose]: () => page.close() });
}

/** Runs a function there, which is written as text: it speaks of what only a browser has. */
const run = <T>(page: Page, source: string, ...args: unknown[]) =>
  page.evaluate<T>(`(${source})(...${JSON.stringify(args)})`);

/** What becomes of a WebSocket that a page opens. */
const openSocket = (page: Page, url: string, ...protocols: string[]) =>
  run<string>(
    page,
    `(url, protocols) => new Promise((resolve) => {
      const socket = new WebSocket(url, protocols);
      socket.onopen = () => resolve("open as " + socket.protocol);
      socket.onclose = () => resolve("closed");
    })`,
    url,
    protocols,
  );

/** What a page reads of an answer; nothing of one that it may not look into, or that never came. */
const read = (page: Page, url: string, init: object = {}) =>
  run<string>(
    page,
    `(url, init) => fetch(url, init).then((response) => response.text(), () => "")`,
    url,
    init,
  );

/** A form that is sent as text, which by its one field is JSON. */
const FORM = `(url) => {
  document.body.innerHTML = '<form method="post" enctype="text/plain"><input></form>';
  const form = document.querySelector("form");
  form.action = url;
  form.elements[0].name = '{"jobs":true,"x":"';
  form.elements[0].value = '"}';
  form.submit();
}`;

const FRAME = `(url) => new Promise((resolve) => {
  document.body.innerHTML = "";
  const frame = document.createElement("iframe");
  frame.onload = resolve;
  frame.src = url;
  document.body.append(frame);
})`;

/** What becomes of an address as a script, a picture and a style. */
const EMBED = `(url) => Promise.all(["script", "img", "link"].map((tag) => new Promise((resolve) => {
  const element = document.createElement(tag);
  element.onload = () => resolve("loaded");
  element.onerror = () => resolve("refused");
  element.rel = "stylesheet";
  element[tag === "link" ? "href" : "src"] = url;
  document.body.append(element);
})))`;

/** A ticket, as the program behind a page would fetch it. */
async function fetchTicket(): Promise<string> {
  const { url, token } = world.local();
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${url}/v1/ticket`, { method: "POST", headers });
  return ((await answer.json()) as { ticket: string }).ticket;
}

/** The server is the one that was started, has run nothing, and stops for nobody. */
async function expectUntouched(): Promise<void> {
  const { jobs } = await world.status();
  expect(jobs.total).toBe(0);
}

for (const [name, origin] of origins)
  describe(`A page from ${name}`, () => {
    test("opens no channel, whatever it knows", async () => {
      await using page = await open(origin());
      for (const host of [server, `localhost:${port}`]) {
        const ticket = `farhand.ticket.${await fetchTicket()}`;
        for (const protocols of [["farhand.v1"], ["farhand.v1", ticket], []])
          expect(await openSocket(page, `ws://${host}/v1/channel`, ...protocols)).toBe("closed");
      }
      await expectUntouched();
    });

    test("reads nothing, whatever it knows", async () => {
      await using page = await open(origin());
      const authorization = `Bearer ${world.local().token}`;
      for (const path of ["/healthz", "/readyz", "/v1/status", "/"]) {
        const url = `http://${server}${path}`;
        for (const init of [{}, { headers: { authorization } }, { mode: "no-cors" }])
          expect([path, await read(page, url, init)]).toEqual([path, ""]);
      }
    });

    test("posts nothing that has an effect: no form, no text that is JSON, no beacon", async () => {
      await using page = await open(origin());
      const { pid } = await world.status();
      const authorization = `Bearer ${world.local().token}`;
      for (const path of ["/v1/stop", "/v1/login", "/v1/ticket"]) {
        const url = `http://${server}${path}`;
        const body = '{"jobs":true}';
        const headers = { authorization, "content-type": "application/json" };
        for (const init of [{ headers, body }, { body }, { mode: "no-cors", body }])
          expect(await read(page, url, { method: "POST", ...init })).toBe("");
        await run(page, "(url, body) => navigator.sendBeacon(url, body)", url, body);
        await using other = await open(origin());
        const answered = other.waitForResponse(url);
        await run(other, FORM, url);
        expect((await answered).status()).toBe(403);
      }
      expect((await world.status()).pid).toBe(pid);
      await expectUntouched();
    });

    test("frames nothing, and has nothing as a script, a picture or a style", async () => {
      await using page = await open(origin());
      for (const path of ["/healthz", "/readyz", "/v1/status", "/"]) {
        const url = `http://${server}${path}`;
        await run(page, FRAME, url);
        await eventually(() => page.frames()[1]?.url() !== ""); // it is told of a little later
        expect([path, page.frames()[1]?.url()]).toEqual([path, "chrome-error://chromewebdata/"]);
        expect([path, await run(page, EMBED, url)]).toEqual([path, ["refused", "refused", "refused"]]);
      }
    });
  });

describe("A page that has its own name point to this machine (DNS rebinding)", () => {
  test("is refused by that name, for everything", async () => {
    const url = `http://rebound.example:${port}`;
    const page = await browser.newPage();
    // As if it had come from elsewhere, before its name was given another address.
    await page.route(`${url}/evil`, (route) =>
      route.fulfill({ contentType: "text/html", body: "<!doctype html><body></body>" }),
    );
    await page.goto(`${url}/evil`);
    const { token } = world.local();
    const protocols = ["farhand.v1", `farhand.ticket.${await fetchTicket()}`];
    expect(await openSocket(page, `ws://rebound.example:${port}/v1/channel`, ...protocols)).toBe("closed");
    for (const path of ["/healthz", "/readyz", "/v1/status"]) {
      const answer = await read(page, url + path, { headers: { authorization: `Bearer ${token}` } });
      expect(JSON.parse(answer)).toMatchObject({ code: "forbidden" });
    }
    expect((await page.goto(`${url}/healthz`))?.status()).toBe(403);
    await page.close();
    await expectUntouched();
  });
});

test("A page of the server's own origin opens a channel with a ticket, once", async () => {
  const page = await browser.newPage();
  const url = `http://${server}/page`;
  await page.route(url, (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html><body></body>" }),
  );
  await page.goto(url);
  const channel = `ws://${server}/v1/channel`;
  const protocols = ["farhand.v1", `farhand.ticket.${await fetchTicket()}`];
  expect(await openSocket(page, channel, "farhand.v1")).toBe("closed");
  expect(await openSocket(page, channel, ...protocols)).toBe("open as farhand.v1");
  expect(await openSocket(page, channel, ...protocols)).toBe("closed");
  await page.close();
});
