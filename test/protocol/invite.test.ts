import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { formatInvite, Invite, parseInvite } from "../../src/protocol/invite.ts";

const invite = v.parse(Invite, {
  name: "web1.lab",
  urls: ["https://web1.lab:9922", "https://10.0.0.7:9922"],
  pin: `sha256:${"a".repeat(43)}`,
  secret: "b".repeat(43),
});

describe("An invitation", () => {
  test("is one line without spaces, and reads as it was written, with what a copy puts around it", () => {
    const line = formatInvite(invite);
    expect(line).toMatch(/^fhi_[\w-]+$/);
    expect(parseInvite(`  ${line}\r\n`)).toEqual(invite);
  });

  test("that is cut, mistyped or of another kind is refused, and not repeated in the refusal", () => {
    const line = formatInvite(invite);
    const long = "x".repeat(10_000);
    const swapped = formatInvite({ ...invite, urls: ["no url"] });
    for (const text of [
      "",
      "fhi_",
      line.slice(0, -9),
      line.slice(1),
      `fhi_${long}`,
      swapped,
      "fh_0123456789abcdef_x",
    ])
      expect(() => parseInvite(text)).toThrow(
        "Cannot read the invitation: copy the whole line that farhandd invite printed",
      );
  });
});
