import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";
import {
  createSocketDirectory,
  findPid,
  listPlaces,
  notePid,
  openPlace,
  removePlace,
} from "../../src/keeper/place.ts";
import { KeeperId } from "../../src/protocol/id.ts";
import { openDirectory } from "../support/directory.ts";

function setup(name = "state") {
  const directory = openDirectory();
  const state = join(directory.path, name);
  mkdirSync(join(state, "keeper"), { recursive: true });
  return {
    state,
    id: v.parse(KeeperId, Bun.randomUUIDv7()),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

const LONG = "long".repeat(30);

test("openPlace lies in the state directory where the path is short enough for a socket", () => {
  using world = setup();
  const { state, id } = world;
  expect(openPlace(state, id)).toEqual({
    id,
    lock: join(state, "keeper", `${id}.lock`),
    socket: join(state, "keeper", `${id}.sock`),
  });
  expect(readdirSync(join(state, "keeper"))).toEqual([]);
});

test("openPlace has its socket in a private directory where the path would be too long, and says where", () => {
  using world = setup(LONG);
  const { state, id } = world;
  const { socket, lock } = openPlace(state, id);
  expect(Buffer.byteLength(socket)).toBeLessThanOrEqual(103);
  expect(lock).toStartWith(state);
  expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700);
  expect(openPlace(state, id).socket).toBe(socket);
  expect(readdirSync(join(state, "keeper"))).toEqual([`${id}.where`]);
});

test("openPlace finds the socket where it is, whatever temporary directory whoever asks has", () => {
  using world = setup(LONG);
  const { state, id } = world;
  const { socket } = openPlace(state, id);
  using elsewhere = setup();
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = elsewhere.state;
  try {
    expect(openPlace(state, v.parse(KeeperId, Bun.randomUUIDv7())).socket).toStartWith(elsewhere.state);
    expect(openPlace(state, id).socket).toBe(socket);
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
});

test("openPlace names a socket that nobody can reach when its directory was removed", () => {
  using world = setup(LONG);
  const { state, id } = world;
  const { socket } = openPlace(state, id);
  rmSync(dirname(socket), { recursive: true });
  expect(openPlace(state, id).socket).toBe(socket);
});

test("removePlace removes the socket's directory with its last socket, and createSocketDirectory makes it again", () => {
  using world = setup(LONG);
  const { state, id } = world;
  const [one, other] = [openPlace(state, id), openPlace(state, v.parse(KeeperId, Bun.randomUUIDv7()))];
  for (const { socket } of [one, other]) writeFileSync(socket, "");
  removePlace(state, one);
  expect(existsSync(other.socket)).toBe(true);
  removePlace(state, other);
  expect(existsSync(dirname(other.socket))).toBe(false);
  createSocketDirectory(other);
  expect(statSync(dirname(other.socket)).mode & 0o777).toBe(0o700);
  removePlace(state, other);
});

test("findPid finds what was noted, until the place is removed", () => {
  using world = setup();
  const { state, id } = world;
  expect(findPid(state, id)).toBeUndefined();
  notePid(state, id, 4711);
  expect(findPid(state, id)).toBe(4711);
  removePlace(state, openPlace(state, id));
  expect(findPid(state, id)).toBeUndefined();
});

test("openPlace counts bytes, not characters, of the path", () => {
  using world = setup("ü".repeat(30));
  const { state, id } = world;
  expect(`${state}/keeper/${id}.sock`.length).toBeLessThan(120);
  expect(Buffer.byteLength(openPlace(state, id).socket)).toBeLessThanOrEqual(103);
});

test("openPlace refuses a private directory that others may enter", () => {
  using world = setup(LONG);
  const { state, id } = world;
  const directory = dirname(openPlace(state, id).socket);
  chmodSync(directory, 0o755);
  try {
    expect(() => openPlace(state, id)).toThrow(expect.objectContaining({ code: "state_unusable" }));
  } finally {
    chmodSync(directory, 0o700);
  }
});

test("listPlaces finds every keeper that left its lock, and nothing else", () => {
  using world = setup();
  const { state, id } = world;
  const place = openPlace(state, id);
  writeFileSync(place.lock, "");
  for (const name of ["notes.lock", `${Bun.randomUUIDv7()}.sock`, `${id}.lock.old`])
    writeFileSync(join(state, "keeper", name), "");
  expect(listPlaces(state)).toEqual([place]);
});

test.each(["short", LONG])("removePlace leaves nothing of a keeper (%s)", (name) => {
  using world = setup(name);
  const { state, id } = world;
  const place = openPlace(state, id);
  for (const path of [place.lock, place.socket]) writeFileSync(path, "");
  removePlace(state, place);
  expect(readdirSync(join(state, "keeper"))).toEqual([]);
  expect(existsSync(place.socket)).toBe(false);
  removePlace(state, place);
});
