import { expect, test } from "vitest";
import { readHead } from "./head.ts";

const GET = { method: "GET", httpVersion: "1.1", contentLength: null, hasBody: false } as const;
const read = (...headers: string[]) =>
  readHead({
    ...GET,
    rawHeaders: ["host", "a", ...headers.map((one, at) => (at % 2 === 0 ? one.toLowerCase() : one))],
  });

test("readHead() takes a session from the caller, else from what known clients call their conversation", () => {
  expect(read().session).toBeNull();
  expect(read("X-OpenWebUI-Chat-Id", "chat-1").session).toBe("chat-1");
  expect(read("x-claude-code-session-id", "code-1").session).toBe("code-1");
  expect(read("X-OpenWebUI-Chat-Id", "chat-1", "X-Postern-Session", "mine").session).toBe("mine");
  expect(read("X-Postern-Session", "mine", "X-OpenWebUI-Chat-Id", "chat-1").session).toBe("mine");
});

test("readHead() passes over a session that is no plain word", () => {
  expect(read("X-Postern-Session", "two words").session).toBeNull();
  expect(read("X-Postern-Session", "x".repeat(129), "X-OpenWebUI-Chat-Id", "chat-1").session).toBe("chat-1");
});
