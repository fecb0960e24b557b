import { expect, test } from "vitest";
import { MAX_CREDENTIAL_LENGTH, readCredential } from "./credentials.ts";

test.each([
  [["Authorization", "Bearer abc"], "abc"],
  [["authorization", "bearer   abc "], "abc"],
  [["X-API-Key", "abc"], "abc"],
  [["api-key", " abc "], "abc"],
  [["Host", "x", "X-Api-Key", "two", "Authorization", "Bearer one", "Api-Key", "three"], "one"],
  [["api-key", "three", "x-api-key", "two"], "two"],
  [["Authorization", "Basic abc", "x-api-key", "two"], "two"],
  [["Authorization", "Bearer", "x-api-key", "two"], "two"],
  [["Authorization", "Basic abc"], null],
  [["Authorization", "Bearer a b"], null],
  [["Authorization", ""], null],
  [["x-api-key", "  "], null],
  [["Content-Type", "application/json"], null],
  [[], null],
])("readCredential(%j) is %j", (rawHeaders, expected) => {
  expect(readCredential(rawHeaders)).toBe(expected);
});

test("readCredential() refuses a credential header that comes twice", () => {
  for (const name of ["Authorization", "x-api-key", "Api-Key"]) {
    expect(() => readCredential([name, "Bearer a", "Host", "x", name.toUpperCase(), "Bearer a"])).toThrow(
      expect.objectContaining({ code: "bad_request" }),
    );
  }
});

test("readCredential() keeps no endless value", () => {
  const value = readCredential(["x-api-key", "a".repeat(100_000)]);
  expect(value).toHaveLength(MAX_CREDENTIAL_LENGTH);
});
