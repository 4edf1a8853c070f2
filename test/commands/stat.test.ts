import { expect } from "bun:test";
import { chmodSync, linkSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { stat } from "../../src/commands/stat.ts";
import { openDirectory } from "../support/directory.ts";
import { toFileContext } from "../support/reading.ts";
import { testIf } from "../support/test-if.ts";

const posix = testIf(process.platform !== "win32", "modes, owners and links are not Windows'");

function setup() {
  const directory = openDirectory();
  const look = async (input: v.InferInput<typeof stat.input>) =>
    v.parse(stat.result, await stat.run(v.parse(stat.input, input), toFileContext(directory.path)));
  return {
    at: (name: string) => join(directory.path, name),
    look,
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

posix("stat tells all that is known of each path, in their order", async () => {
  using world = setup();
  writeFileSync(world.at("x"), "12345");
  chmodSync(world.at("x"), 0o4750);
  utimesSync(world.at("x"), 1_000_000, 1_500_000.25);
  linkSync(world.at("x"), world.at("y"));
  const { files } = await world.look({ paths: ["x", "."] });
  expect(files).toMatchObject([
    {
      name: "x",
      type: "file",
      size: 5,
      mode: "4750",
      permissions: "rwsr-x---",
      links: 2,
      owner: { id: process.getuid?.() },
      accessedAt: "1970-01-12T13:46:40.000Z",
      modifiedAt: "1970-01-18T08:40:00.250Z",
    },
    { name: ".", type: "directory" },
  ]);
});

posix("stat shows a link itself or, with --follow, what it leads to", async () => {
  using world = setup();
  writeFileSync(world.at("x"), "12345");
  symlinkSync("x", world.at("link"));
  symlinkSync(Buffer.from("gone\xff", "latin1"), world.at("broken"));
  expect((await world.look({ paths: ["link"] })).files).toMatchObject([
    { type: "link", target: { name: "x" } },
  ]);
  expect((await world.look({ paths: ["link"], follow: true })).files).toMatchObject([
    { type: "file", size: 5 },
  ]);
  const bytes = Buffer.from("gone\xff", "latin1").toString("base64");
  expect((await world.look({ paths: ["broken"] })).files).toMatchObject([{ target: { nameBytes: bytes } }]);
  await expect(world.look({ paths: ["broken"], follow: true })).rejects.toMatchObject({
    details: { os: "ENOENT" },
  });
});

posix("stat tells a sparse file's size and what it takes on the disk", async () => {
  using world = setup();
  writeFileSync(world.at("sparse"), "");
  truncateSync(world.at("sparse"), 1024 ** 4);
  const { files } = await world.look({ paths: ["sparse"] });
  expect(files).toMatchObject([{ size: 1024 ** 4 }]);
  expect(files[0]?.allocated).toBeLessThan(1024 ** 2);
});

posix("stat shows numbers of devices, and every name on one line", async () => {
  using world = setup();
  writeFileSync(world.at("a\nb"), "");
  const answer = await world.look({ paths: ["a\nb", "/dev/null"] });
  if (process.platform === "linux") expect(answer.files[1]).toMatchObject({ deviceType: "1:3" });
  const [first = "", second = ""] = stat.cli.show(answer).split("\n\n");
  expect(first.split("\n").slice(0, 2)).toEqual(["path      a\\nb", "type      file"]);
  expect(second).toContain("type      character device");
});
