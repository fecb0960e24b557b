import { readFileSync } from "node:fs";
import { constants } from "node:http2";
import { describe, expect, test } from "vitest";
import * as names from "./constants.ts";
import { kindOfReset, resetCode } from "./endings.ts";
import { REFUSAL_STATUS } from "./handshake.ts";

/** How it is laid out does not matter: line breaks inside a paragraph and the width of columns become one space. */
const spec = readFileSync(new URL("./SPEC.md", import.meta.url), "utf8")
  .replace(/ +/g, " ")
  .replace(/\n(?=[A-Za-z0-9`(])/g, " ");

describe("SPEC.md", () => {
  test.each([
    names.CONNECT_PATH,
    names.CONTROL_PATH,
    names.PROBE_PATH,
    names.UPGRADE_H2,
    names.UPGRADE_WEBSOCKET,
    names.HELLO_HEADER,
    names.ACCEPT_HEADER,
    names.ENGINE_HEADER,
    names.OPERATION_HEADER,
    names.REQUEST_HEADER,
    names.DEADLINE_HEADER,
    names.FAILURE_HEADER,
    names.PHASE_HEADER,
    `${names.END_TRAILER}: ${names.END_COMPLETE}`,
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
    `| SETTINGS_INITIAL_WINDOW_SIZE | ${names.ANSWER_WINDOW_BYTES} | ${names.PROMPT_WINDOW_BYTES} |`,
    `| connection window | ${names.LINK_WINDOW_BYTES} | ${names.LINK_WINDOW_BYTES} |`,
    `capacity + ${names.RESERVED_STREAMS} |`,
    `| SETTINGS_MAX_HEADER_LIST_SIZE | ${names.HEADER_BYTES_LIMIT} | ${names.HEADER_BYTES_LIMIT} |`,
    `| header fields | ${names.HEADER_PAIRS_LIMIT} | ${names.HEADER_PAIRS_LIMIT} |`,
    `${grouped(names.CONTROL_LINE_LIMIT)} bytes, ${names.CONTROL_BURST} at once and then ${names.CONTROL_PER_SECOND} a second`,
    `Every ${seconds(names.PROBE_INTERVAL_MS)}; ${seconds(names.PROBE_TIMEOUT_MS)} without an answer`,
    `${names.PROBE_FAILURE_LIMIT} failures in a row`,
    `more than ${names.INTERIM_LIMIT} interim heads`,
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

  test("lists every failure with its reset code and how it is read", () => {
    const listed = [...spec.matchAll(/^\| `(\w+)` \| ([A-Z_]+) \| `(\w+)` \|/gm)];
    expect(listed).toHaveLength(7);
    for (const [, kind, code, seen] of listed) {
      const number = constants[`NGHTTP2_${code}` as keyof typeof constants];
      expect(resetCode(kind as Parameters<typeof resetCode>[0])).toBe(number);
      expect(kindOfReset(number as number)).toBe(seen);
    }
  });
});
