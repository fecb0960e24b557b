import { describe, expect, test } from "vitest";
import { scanBody } from "../lib/json-scan.ts";
import { affinityKey } from "./affinity-key.ts";

const scan = (body: unknown) => scanBody(Buffer.from(JSON.stringify(body)));
const system = { role: "system", content: "be short" };
const user = { role: "user", content: 'say "]" and [' };
const later = [
  { role: "assistant", content: "ok" },
  { role: "user", content: "more" },
];

describe("affinityKey()", () => {
  test("is the session's where the caller names one, whatever the prompt", () => {
    expect(affinityKey("s1", scan({ messages: [user] }))).toBe(affinityKey("s1", scan({ prompt: "x" })));
    expect(affinityKey("s1", scan({}))).not.toBe(affinityKey("s2", scan({})));
  });

  test("stays the same while a conversation grows", () => {
    for (const beginning of [[user], [system, user]]) {
      const first = affinityKey(null, scan({ model: "m", messages: beginning }));
      expect(affinityKey(null, scan({ model: "m", messages: [...beginning, ...later] }))).toBe(first);
    }
  });

  test("differs where the prompts begin differently", () => {
    const key = (messages: unknown[], more = {}) => affinityKey(null, scan({ messages, ...more }));
    expect(key([user])).not.toBe(key([{ ...user, content: "other" }]));
    expect(key([user])).not.toBe(key([system, user]));
    expect(key([user], { system: "a" })).not.toBe(key([user], { system: "b" }));
  });

  test("looks no further than the beginning of a long prompt, and says when there is none", () => {
    const long = "x".repeat(5000);
    expect(affinityKey(null, scan({ prompt: `${long}a` }))).toBe(affinityKey(null, scan({ prompt: `${long}b` })));
    expect(affinityKey(null, scan({ model: "m" }))).toBeNull();
  });
});
