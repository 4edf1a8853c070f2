import { expect, test } from "bun:test";
import { Tickets } from "../../../src/server/auth/tickets.ts";
import { createIdentity } from "../../support/identity.ts";

function setup() {
  const clock = { now: 1_000_000 };
  const tickets = new Tickets(() => clock.now);
  const claim = (ticket: string) => tickets.claim(["farhand.v1", `farhand.ticket.${ticket}`])?.owner;
  return { clock, tickets, claim, issue: (owner: string) => tickets.issue(createIdentity({ owner })).ticket };
}

test("claim() answers whose a ticket is, once", () => {
  const { claim, issue } = setup();
  const [one, other] = [issue("alice"), issue("bob")];
  expect(one).toMatch(/^[\w-]{43}$/);
  expect([claim(other), claim(one), claim(one), claim(other)]).toEqual([
    "bob",
    "alice",
    undefined,
    undefined,
  ]);
});

test("claim() answers nobody without a ticket, or with what is none", () => {
  const { tickets, claim, issue } = setup();
  const ticket = issue("alice");
  const wrong = ["", "x".repeat(43), `${ticket}x`, ticket.slice(1), ` ${ticket}`];
  expect(wrong.map(claim)).toEqual(wrong.map(() => undefined));
  expect(tickets.claim([])).toBeUndefined();
  for (const offered of [[ticket], [`farhand.ticket.${ticket}`], [`farhand.ticket.${ticket}`, "farhand.v1"]])
    expect(tickets.claim(offered)).toBeUndefined();
  expect(claim(ticket)).toBe("alice");
});

test("claim() takes none that is older than half a minute, or of a time to come", () => {
  const { clock, claim, issue } = setup();
  const [late, early, good] = [issue("a"), issue("b"), issue("c")];
  clock.now += 29_999;
  expect(claim(good)).toBe("c");
  clock.now += 1;
  expect(claim(late)).toBeUndefined();
  clock.now -= 3_600_000;
  expect(claim(early)).toBeUndefined();
});

test("issue() keeps 32 of one user, and so none of others' is forgotten for his", () => {
  const { claim, issue } = setup();
  const other = issue("alice");
  const tickets = Array.from({ length: 2_000 }, () => issue("bob"));
  expect(tickets.filter((ticket) => claim(ticket) === "bob")).toEqual(tickets.slice(-32));
  expect(claim(other)).toBe("alice");
});

test("issue() keeps 1,024 at most, and forgets the oldest", () => {
  const { claim, issue } = setup();
  const tickets = Array.from({ length: 1_025 }, (_, index) => issue(String(index)));
  expect(tickets.slice(0, 2).map(claim)).toEqual([undefined, "1"]);
  expect(claim(tickets[1_024] ?? "")).toBe("1024");
});
