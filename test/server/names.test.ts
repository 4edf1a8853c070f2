import { describe, expect, test } from "bun:test";
import { isIP } from "node:net";
import { listMachineAddresses, listMachineNames, listNames, parseName } from "../../src/server/names.ts";

describe("listMachineNames()", () => {
  test("knows the machine's name with and without its domain, in lower case", () => {
    expect(listMachineNames("Web1.Example.com", "")).toEqual(["web1.example.com", "web1"]);
    expect(listMachineNames("web1", "")).toEqual(["web1"]);
  });

  test("knows what the table of hosts calls it besides, and nobody else", () => {
    const table =
      "127.0.0.1 localhost\n127.0.1.1\tweb1.example.com Web1 # web1 evil.example\n#10.0.0.1 web1 old.example\n10.0.0.2 web2 web2.example.com\n";
    expect(listMachineNames("web1", table)).toEqual(["web1", "web1.example.com"]);
    expect(listMachineNames("web3", table)).toEqual(["web3"]);
  });

  test("leaves out what could stand in no URL and no certificate", () => {
    expect(listMachineNames("my machine", "127.0.0.1 my machine")).toEqual([]);
    expect(listMachineNames("-x", "1.1.1.1 -x a..b/c ok")).toEqual(["ok"]);
  });
});

test("listNames() adds what the operator says, but not addresses that stand for all", () => {
  const tcp = (host: string) => ({ type: "tcp", host, port: 1 }) as const;
  const listen = [
    tcp("0.0.0.0"),
    tcp("::"),
    tcp("10.1.2.3"),
    tcp("web1.lab"),
    { type: "unix", path: "/a" } as const,
  ];
  expect(listNames({ names: ["told.lab"], listen }, ["web1"])).toEqual([
    "web1",
    "told.lab",
    "10.1.2.3",
    "web1.lab",
    "localhost",
  ]);
});

test("listMachineAddresses() gives addresses that can be used from elsewhere, each once", () => {
  const addresses = listMachineAddresses();
  expect(addresses).toContain("127.0.0.1");
  expect(addresses.filter((address) => isIP(address) === 0 || address.startsWith("fe80"))).toEqual([]);
  expect(new Set(addresses).size).toBe(addresses.length);
});

test("parseName() takes names and addresses, and refuses ports, patterns and URLs", () => {
  for (const name of ["web1", "a.b-c.example", "10.1.2.3", "2001:db8::1"]) expect(parseName(name)).toBe(name);
  expect(parseName("WEB1")).toBe("web1");
  expect(parseName("::ffff:10.1.2.3")).toBe("::ffff:a01:203");
  for (const text of [
    "",
    "web1:9922",
    "*.lab",
    "https://web1",
    "[::1]",
    "a b",
    "-x",
    "x-",
    "ü",
    "fe80::1%lo",
  ])
    expect(() => parseName(text)).toThrow(`Cannot use the name "${text}"`);
});
