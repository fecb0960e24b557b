import { afterEach, beforeEach, expect, it } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";

// curl, and what is built on it, asks before it sends a body from 1 MiB on. It used to get a 400: prompts of that size could not
// be sent with it.

const EXPECT = "Expect: 100-continue\r\n";

let plane: DataPlane;
let target: PlayedTarget;
beforeEach(async () => {
  plane = await startDataPlane({ limits: { bodyBytes: 1000 } });
  [target] = plane.serve("llama", "forge") as [PlayedTarget];
});
afterEach(() => plane.close());

/** Head and body of a request, apart. */
function parts(key: string): [head: string, body: string] {
  const request = chatRequest(key, chatBody("llama"), EXPECT);
  const end = request.indexOf("\r\n\r\n") + 4;
  return [request.slice(0, end), request.slice(end)];
}

it("a caller that asks first is told to go on, and answered", async () => {
  const [head, body] = parts(plane.key);
  const caller = plane.raw(head);
  await caller.until("HTTP/1.1 100 Continue\r\n\r\n");
  caller.socket.write(body);
  (await target.next()).answer(200, chatAnswer());
  await caller.until("hello");
  expect(caller.text).toContain("HTTP/1.1 200 OK");
  caller.socket.destroy();
});

it("one that does not wait for the word is answered too", async () => {
  const caller = plane.raw(parts(plane.key).join(""));
  (await target.next()).answer(422, { error: { message: "enough" } });
  await caller.until("enough");
  caller.socket.destroy();
});

it.each([
  ["a wrong key", () => parts("no")[0], 401],
  ["too long a body", () => parts(plane.key)[0].replace(/Content-Length: \d+/, "Content-Length: 1001"), 413],
  ["nothing that is served", () => parts(plane.key)[0].replace("/v1/chat/completions", "/api/pull"), 404],
])("one with %s is refused before its body, and its connection is not used again", async (_what, head, status) => {
  const caller = plane.raw(head());
  await caller.until("}");
  expect(caller.status).toBe(status);
  expect(caller.text).not.toContain("100 Continue");
  expect(caller.text).toMatch(/\r\nConnection: close\r\n/i);
  caller.socket.end();
  await caller.untilClosed();
});
