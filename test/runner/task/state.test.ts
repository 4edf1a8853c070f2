import { describe, expect, test } from "bun:test";
import { copy } from "../../../src/runner/task/copy.ts";
import { State } from "../../../src/runner/task/state.ts";

/** What is left of a state that an execution changes in place before it throws. */
function afterThrow<T>(value: T, change: (value: T) => void): unknown {
  const state = new State(value);
  state.begin();
  change(value);
  state.restore();
  return state.value;
}

describe("A state", () => {
  test("is as it was after an execution that changed it in place and threw", () => {
    expect(afterThrow({ list: [1] }, ({ list }) => list.push(2))).toEqual({ list: [1] });
    expect(afterThrow(new Map([["a", new Set([1])]]), (map) => map.get("a")?.add(2))).toEqual(
      new Map([["a", new Set([1])]]),
    );
    expect(afterThrow({ bytes: new Uint8Array(3) }, ({ bytes }) => bytes.fill(9))).toEqual({
      bytes: new Uint8Array(3),
    });
    expect(afterThrow<{ a?: number }>({}, (state) => (state.a = 1))).toEqual({});
  });

  test("keeps its cycles, and stays the same object where nothing was changed", () => {
    const cyclic: { self?: unknown; n: number } = { n: 1 };
    cyclic.self = cyclic;
    const left = afterThrow(cyclic, (state) => (state.n = 2)) as typeof cyclic;
    expect(left.n).toBe(1);
    expect(left.self).toBe(left);
    const untouched = { deep: { list: [1, 2] } };
    expect(afterThrow(untouched, () => {})).toBe(untouched);
  });

  test("that cannot be copied is left as the execution left it", () => {
    class Account {
      balance = 1;
    }
    const account = new Account();
    expect(afterThrow(account, (account) => (account.balance = 2))).toBe(account);
    expect(account.balance).toBe(2);
    const socket = { send: () => {}, sent: 0 };
    expect(afterThrow(socket, (socket) => socket.sent++)).toBe(socket);
  });

  test("is replaced by what an execution returns", () => {
    const state = new State(1);
    state.begin();
    state.replace(2);
    expect(state.value).toBe(2);
  });
});

describe("copy()", () => {
  test("copies values only", () => {
    class Child extends Map {}
    const hidden = Object.defineProperty({}, "x", { value: 1 });
    const computed = {
      get x() {
        return 1;
      },
    };
    const notCopied = [
      () => {},
      Symbol("x"),
      { f() {} },
      new Child(),
      hidden,
      computed,
      { [Symbol("x")]: 1 },
      new Proxy({ f: () => {} }, {}),
      new Error("x"),
      Promise.resolve(),
    ];
    for (const value of notCopied) expect(copy(value)).toBeUndefined();
    for (const value of [
      undefined,
      null,
      NaN,
      -0,
      1n,
      "x",
      [1, , 3],
      new Date(5),
      /x/g,
      Object.create(null) === null,
    ])
      expect(copy(value)).toEqual({ value });
  });

  test("copies no more than a little", () => {
    expect(copy(Array.from({ length: 9_000 }, (_, index) => index))).toBeDefined();
    expect(copy(Array.from({ length: 11_000 }, (_, index) => index))).toBeUndefined();
    expect(copy("x".repeat(2 ** 20))).toBeDefined();
    expect(copy(["x".repeat(2 ** 20), "y"])).toBeUndefined();
    expect(copy(new Uint8Array(2 ** 20 + 1))).toBeUndefined();
  });
});
