import { describe, expect, setDefaultTimeout } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { inflateSync } from "node:zlib";
import { Pool } from "../../src/sdk.ts";
import { DISPLAY_TOOLS, HEIGHT, openDisplay, toPixels, WIDTH } from "../support/display.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const PACK = resolve(import.meta.dir, "../fixtures/screenshot/screen.ts");
const FIRST = { ink: "#ff8000", paper: "#0040ff" };
const SECOND = { ink: "#102030", paper: "#e0f0ff" };

const missing = DISPLAY_TOOLS.filter((tool) => Bun.which(tool) === null);
const shown = testIf(missing.length === 0, `pictures of a screen: ${missing.join(", ")} not installed`);

/** A display, and a world with a server that has the pack, configured for it. */
async function setup() {
  const display = await openDisplay();
  const world = openWorld();
  const at = (name: string) => join(world.home, name);
  mkdirSync(at("elsewhere"));
  // One file, with nothing beside it: what it imports is in it.
  const bundled = await world.farhandd(["extension", "bundle", PACK, "--output", at("elsewhere/screen.js")]);
  expect(bundled).toMatchObject({ code: 0, stderr: "" });
  const configure = (name: string) =>
    writeFileSync(at("farhand.toml"), `[extensions.screen]\ndisplay = "${name}"\n`);
  configure(display.name);
  const serve = () =>
    world.start(
      "--listen",
      "127.0.0.1:0",
      "--config",
      at("farhand.toml"),
      "--extension",
      at("elsewhere/screen.js"),
    );
  return {
    ...world,
    display,
    at,
    configure,
    serve,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await display[Symbol.asyncDispose]();
    },
  };
}

/** The pixels of a PNG as the pack writes it: each line without a filter. */
function readPng(png: Uint8Array): Uint8Array {
  const view = Buffer.from(png);
  expect([view.readUInt32BE(16), view.readUInt32BE(20)]).toEqual([WIDTH, HEIGHT]);
  const start = view.indexOf("IDAT");
  const lines = inflateSync(view.subarray(start + 4, start + 4 + view.readUInt32BE(start - 4)));
  const width = WIDTH * 4 + 1;
  return Buffer.concat(
    Array.from({ length: HEIGHT }, (_, y) => lines.subarray(y * width + 1, (y + 1) * width)),
  );
}

describe("The pack for screens", () => {
  shown("answers as PNG what was drawn, and again when that is another picture", async () => {
    await using world = await setup();
    await world.serve();
    for (const colors of [FIRST, SECOND]) {
      world.display.draw(colors);
      expect(await world.shell("farhand screenshot > picture.png")).toMatchObject({ code: 0, stderr: "" });
      const pixels = readPng(await Bun.file(world.at("picture.png")).bytes());
      expect(Buffer.from(pixels).equals(toPixels(colors))).toBe(true);
    }
  });

  shown(
    "tells the pixels as they are, each time that others were drawn, until its job is killed",
    async () => {
      await using world = await setup();
      world.display.draw(FIRST);
      await world.serve();
      const started = await world.farhand(["watch-screen", "-d", "--every", "20"]);
      expect(started).toMatchObject({ code: 0, stderr: "" });
      const job = started.stdout.trim();
      await using pool = new Pool({});
      const { url, token } = world.local();
      const connection = await pool.add(url, { token }).connect({ timeout: 20_000 });
      const listener = await connection.follow(job);
      const seen: unknown[] = [];
      for await (const packet of listener) {
        if (packet.type !== "value") continue;
        seen.push(packet.value);
        if (seen.length === 1) world.display.draw(SECOND);
        // A picture may be taken while it is drawn.
        if (isPicture(packet.value) && Buffer.from(packet.value.rgba).equals(toPixels(SECOND))) break;
      }
      expect(seen[0]).toEqual({
        width: WIDTH,
        height: HEIGHT,
        rgba: expect.any(Uint8Array),
        at: expect.any(Date),
      });
      expect(isPicture(seen[0]) && Buffer.from(seen[0].rgba).equals(toPixels(FIRST))).toBe(true);
      expect((await world.farhand(["kill", job])).code).toBe(0);
      expect((await world.job(job)).outcome).toMatchObject({ type: "cancelled" });
    },
  );

  shown(
    "is not offered where its configuration does not fit it, and answers why where there is no screen",
    async () => {
      await using world = await setup();
      writeFileSync(world.at("farhand.toml"), "[extensions.screen]\ndisplay = 1\n");
      await world.serve();
      expect(await world.farhand(["screenshot"])).toMatchObject({
        code: 125,
        stderr: expect.stringContaining("screenshot"),
      });
      const wrong = await world.farhandd(["reload"]);
      expect(wrong).toMatchObject({ code: 1 });
      expect(`${wrong.stdout}${wrong.stderr}`).toContain(
        'Cannot set up the pack "screen": extensions.screen.display: Invalid type: Expected string but received 1',
      );
      world.configure(":9999");
      expect(await world.farhandd(["reload"])).toMatchObject({ code: 0 });
      expect(await world.farhand(["screenshot"])).toMatchObject({
        code: 125,
        stderr: expect.stringContaining("Cannot look at the screen: xwd:  unable to open display"),
      });
      world.configure(world.display.name);
      expect(await world.farhandd(["reload"])).toMatchObject({ code: 0 });
      expect(await world.shell("farhand screenshot | head -c 4")).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("PNG"),
      });
    },
  );
});

function isPicture(value: unknown): value is { readonly rgba: Uint8Array } {
  return typeof value === "object" && value !== null && "rgba" in value && value.rgba instanceof Uint8Array;
}
