/**
 * Names and numbers of the tunnel protocol. `SPEC.md` lists the same ones; `spec.test.ts` keeps the two in step.
 */

/** Versions of the protocol this program speaks. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;

/** Where an agent says hello, joins and upgrades (HTTP/1.1, public listener). */
export const CONNECT_PATH = "/.postern/connect";
/** The control stream: JSON lines both ways (HTTP/2, on the link). */
export const CONTROL_PATH = "/.postern/control";
/** The data-path probe (HTTP/2, on the link). */
export const PROBE_PATH = "/.postern/probe";

/** `Upgrade` tokens: HTTP/2 on the bare socket, or inside WebSocket messages. */
export const UPGRADE_H2 = "postern-h2";
export const UPGRADE_WEBSOCKET = "websocket";

/** `Authorization` scheme of the second request of the handshake. */
export const AUTHORIZATION_SCHEME = "Postern";

/** Headers of the handshake. */
export const HELLO_HEADER = "postern-hello";
export const ACCEPT_HEADER = "postern-accept";

/** Headers of an attempt, gateway to agent. */
export const ENGINE_HEADER = "postern-engine";
export const OPERATION_HEADER = "postern-operation";
export const REQUEST_HEADER = "postern-request";
/** Milliseconds left of the caller's deadline, when there is one. */
export const DEADLINE_HEADER = "postern-deadline-ms";

/** Headers of an answer, agent to gateway: the agent could not get an answer from the engine. */
export const FAILURE_HEADER = "postern-failure";
export const PHASE_HEADER = "postern-phase";
/** Trailer that says the answer is complete; required where the answer has no `content-length`. */
export const END_TRAILER = "postern-end";
export const END_COMPLETE = "complete";

/** Capabilities that this program knows. A hello that requires another one is refused. */
export const CAPABILITIES: readonly string[] = ["control-1", "probe-1"];

/** Label of the TLS exporter used as channel binding (RFC 9266). */
export const EXPORTER_LABEL = "EXPORTER-Channel-Binding";
export const EXPORTER_BYTES = 32;

/** Random bytes in each nonce. */
export const NONCE_BYTES = 32;
/** A gateway nonce is good for one use within this time; also the limit on a whole handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Longest value of a handshake header, and longest body of a handshake answer. */
export const HANDSHAKE_HEADER_LIMIT = 4096;
export const HANDSHAKE_BODY_LIMIT = 8192;
/** Successors that a chain from the trusted gateway identity to the present one may have. */
export const IDENTITY_CHAIN_LIMIT = 4;

/** Links per connector: default and most. Slots are numbered from 0. */
export const DEFAULT_LINKS = 2;
export const MAX_LINKS = 4;

/** PING from both ends this often. */
export const PING_INTERVAL_MS = 5_000;
/** Without an answer for this long a link takes no new attempts. */
export const SUSPECT_AFTER_MS = 10_000;
/** Without an answer for this long a link is destroyed. A short loss of Wi-Fi must not kill a ten-minute answer. */
export const DEAD_AFTER_MS = 30_000;
/** A probe travels the data path this often. */
export const PROBE_INTERVAL_MS = 15_000;
/** A probe without an answer after this long has failed. */
export const PROBE_TIMEOUT_MS = 10_000;
/** Probes that may fail in a row before the link is destroyed although its pings are answered. */
export const PROBE_FAILURE_LIMIT = 3;
/** Running attempts get this long to finish when a link drains. */
export const DRAIN_MS = 600_000;

/** HTTP/2 stream window for answers (set by the gateway). Bounds what a paused caller can park per stream. */
export const ANSWER_WINDOW_BYTES = 256 * 1024;
/** HTTP/2 stream window for prompts (set by the agent, which collects the whole prompt anyway). */
export const PROMPT_WINDOW_BYTES = 1024 * 1024;
/** HTTP/2 connection window, both ends. */
export const LINK_WINDOW_BYTES = 16 * 1024 * 1024;
/** Node's `maxSessionMemory` in megabytes, both ends. The default of 10 destroys links with many slow readers. */
export const SESSION_MEMORY_MB = 512;
/** nghttp2's limit on incoming resets, agent side. The default (burst 1,000) takes a storm of cancels for an attack. */
export const STREAM_RESET_LIMIT = 1_000_000;
/** Attempts an agent takes at once unless told otherwise. */
export const DEFAULT_CAPACITY = 1024;
/** Streams beside the attempts: control, probes and a reserve for streams that are just ending. */
export const RESERVED_STREAMS = 16;
/** Streams after which a link is replaced: HTTP/2 has about a thousand million ids per connection, and no way to reuse them. */
export const STREAMS_PER_LINK = 500_000_000;
/** Header fields of one request or answer, and their bytes together. */
export const HEADER_PAIRS_LIMIT = 64;
export const HEADER_BYTES_LIMIT = 32 * 1024;
/** Interim (1xx) answers that a stream may carry before it is reset. */
export const INTERIM_LIMIT = 4;

/** Longest prompt that an agent collects, and all prompts in collection together. */
export const BODY_LIMIT_BYTES = 32 * 1024 * 1024;
export const BODY_MEMORY_BYTES = 256 * 1024 * 1024;

/** Longest line on the control stream, in bytes. */
export const CONTROL_LINE_LIMIT = 512 * 1024;
/** Control lines an end may send: this many at once, then this many a second. */
export const CONTROL_BURST = 64;
export const CONTROL_PER_SECOND = 8;
/** Unsent bytes on the control stream after which the peer counts as not reading. */
export const CONTROL_QUEUE_LIMIT = 2 * 1024 * 1024;

/** Backoff of a dial: full jitter up to `BASE * 2^n`, at most `CAP`, after two fast retries. */
export const BACKOFF_BASE_MS = 500;
export const BACKOFF_CAP_MS = 30_000;
export const FAST_RETRIES = 2;
export const FAST_RETRY_MIN_MS = 100;
export const FAST_RETRY_MAX_MS = 300;
/** Failed direct dials after which the WebSocket carrier is tried. */
export const FALLBACK_AFTER_DIALS = 3;
/** While on the WebSocket carrier, a direct dial is tried again this often. */
export const DIRECT_RETRY_MS = 3_600_000;
/** Largest WebSocket message on the fallback carrier. */
export const WEBSOCKET_PAYLOAD_LIMIT = 1024 * 1024;

/** TCP keep-alive on every link. */
export const TCP_KEEPALIVE_MS = 15_000;
