import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as names from "./constants.ts";
import { FRAME, LAST, RESET_DETAIL_LIMIT, readReset, resetCode, STREAM_SLOTS, writeReset } from "./frames.ts";
import { REFUSAL_STATUS } from "./handshake.ts";

/** How it is laid out does not matter: line breaks inside a paragraph and the width of columns become one space. */
const spec = readFileSync(new URL("./SPEC.md", import.meta.url), "utf8")
  .replace(/ +/g, " ")
  .replace(/\n(?=[A-Za-z0-9`(])/g, " ");

describe("SPEC.md", () => {
  test.each([
    names.CONNECT_PATH,
    names.PROBE_PATH,
    names.ENGINE_PROBE_PATH,
    names.UPGRADE_DIRECT,
    names.UPGRADE_WEBSOCKET,
    names.HELLO_HEADER,
    names.ACCEPT_HEADER,
    names.ENGINE_HEADER,
    names.OPERATION_HEADER,
    names.REQUEST_HEADER,
    names.DEADLINE_HEADER,
    `Authorization: ${names.AUTHORIZATION_SCHEME} `,
    names.EXPORTER_LABEL,
  ])("names %s", (name) => {
    expect(spec).toContain(name);
  });

  const seconds = (ms: number) => `${ms / 1000} s`;
  const grouped = (count: number) => count.toLocaleString("en-US");
  test.each([
    `# The tunnel protocol, version ${names.PROTOCOL_MAX}`,
    `at most ${grouped(names.HANDSHAKE_HEADER_LIMIT)} characters`,
    `| \`nonce\` | ${names.NONCE_BYTES} random bytes |`,
    `at most ${names.IDENTITY_CHAIN_LIMIT} successions`,
    `no context, ${names.EXPORTER_BYTES} bytes`,
    `good once, for ${seconds(names.HANDSHAKE_TIMEOUT_MS)}`,
    `${names.ANSWER_WINDOW_BYTES} at the gateway, ${names.PROMPT_WINDOW_BYTES} at the agent`,
    `capacity for attempts + ${names.RESERVED_STREAMS}`,
    `head of the answer, at most ${names.HEADER_BYTES_LIMIT} bytes`,
    `1 to ${names.DATA_FRAME_BYTES} bytes of body`,
    `up to ${RESET_DETAIL_LIMIT} bytes of explanation`,
    `at most ${names.CONTROL_LINE_LIMIT} bytes`,
    `one of ${STREAM_SLOTS}`,
    `with at most ${names.SOCKET_HIGH_BYTES} bytes waiting`,
    `at most ${names.PING_BURST} at once and then ${names.PINGS_PER_SECOND} a second, ${names.PINGS_OUTSTANDING} of one's own`,
    `at most ${names.HEADER_PAIRS_LIMIT} strings`,
    `JSON, ${names.CONTROL_BURST} at once and then ${names.CONTROL_PER_SECOND} a second`,
    `Every ${seconds(names.PROBE_INTERVAL_MS)}; ${seconds(names.PROBE_TIMEOUT_MS)} without an answer`,
    `${names.PROBE_FAILURE_LIMIT} failures in a row`,
    `every ${seconds(names.PING_INTERVAL_MS)}. After ${seconds(names.SUSPECT_AFTER_MS)} without`,
    `after ${seconds(names.DEAD_AFTER_MS)} it is destroyed`,
    `after ${names.DRAIN_MS / 60_000} minutes`,
    `fast retries of ${names.FAST_RETRY_MIN_MS}–${names.FAST_RETRY_MAX_MS} ms`,
    `min(${seconds(names.BACKOFF_CAP_MS)}, ${seconds(names.BACKOFF_BASE_MS)} · 2ⁿ)`,
    `${names.DEFAULT_LINKS} links per connector by default, ${names.MAX_LINKS} at most`,
    `when ${names.FALLBACK_AFTER_DIALS} connections in a row`,
  ])("says %j", (words) => {
    expect(spec).toContain(words);
  });

  test("lists every refusal with its status, and no other", () => {
    const listed = [...spec.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)].map((match) => [match[1], Number(match[2])]);
    expect(Object.fromEntries(listed)).toEqual(REFUSAL_STATUS);
  });

  test("lists every frame with its number, and LAST with its bit", () => {
    const listed = [...spec.matchAll(/^\| `(\w+)` \| (\d+) \| (?:both|gateway|agent) \|/gm)];
    expect(Object.fromEntries(listed.map((match) => [match[1], Number(match[2])]))).toEqual(FRAME);
    expect(spec).toContain(`The bit 0x${LAST.toString(16)} of the type`);
  });

  test("lists every failure with its code and how it is read before the head", () => {
    const listed = [...spec.matchAll(/^\| `(\w+)` \| (\d) \| `(\w+)` \|/gm)];
    expect(listed).toHaveLength(7);
    for (const [, kind, code, seen] of listed) {
      const known = kind as Parameters<typeof resetCode>[0];
      expect(resetCode(known)).toBe(Number(code));
      expect(readReset(writeReset(known, "connect", "why"))).toEqual({ kind: seen, phase: "connect", detail: "why" });
    }
    expect(readReset(Buffer.from([99, 9]))).toEqual({ kind: "reset", phase: "request", detail: "" });
  });
});
