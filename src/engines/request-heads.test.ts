import { describe, expect, test } from "vitest";
import { RequestHeads } from "./request-heads.ts";

const heads = new RequestHeads("/openai", [["host", "h:1"]], ["accept"]);
const body = Buffer.from("{}");

describe("RequestHeads", () => {
  test("writes its own lines, the listed headers and the length, in bytes", () => {
    const headers = { accept: "a/b", cookie: "c=d", host: "evil", "content-length": "9" };
    expect(heads.write({ method: "POST", path: "/v1/x?y=z", headers, body: Buffer.from("é") })).toBe(
      "POST /openai/v1/x?y=z HTTP/1.1\r\nhost: h:1\r\naccept: a/b\r\ncontent-length: 2\r\n\r\n",
    );
    expect(heads.write({ method: "POST", path: "/x", headers: {}, body: null })).toContain("content-length: 0\r\n");
    expect(heads.write({ method: "GET", path: "/x", headers: {}, body: null })).not.toContain("content-length");
  });

  test.each(["a\r\nX: y", "a\nb", "a\rb", "a\0", "\u0100"])("writes no head with the value %j", (accept) => {
    expect(heads.write({ method: "POST", path: "/x", headers: { accept }, body })).toBeNull();
    expect(() => new RequestHeads("", [["authorization", accept]], [])).toThrow(/authorization/);
  });

  test.each(["/a b", "/a\r\nX: y", "/\u00e9", "/\t"])("writes no head with the path %j", (path) => {
    expect(heads.write({ method: "POST", path, headers: {}, body })).toBeNull();
    expect(new RequestHeads("", [], []).write({ method: "POST", path: path.slice(1), headers: {}, body })).toBeNull();
  });
});
