/**
 * Names and numbers of the tunnel protocol. `SPEC.md` lists the same ones; `spec.test.ts` keeps the two in step.
 */

/** Versions of the protocol this program speaks. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;

/** Where an agent says hello, joins and upgrades (HTTP/1.1, public listener). */
export const CONNECT_PATH = "/.postern/connect";
/** The data-path probe (a stream on the link). */
export const PROBE_PATH = "/.postern/probe";
/** A question to one engine, asked by the agent: how long it takes there, and through the link. */
export const ENGINE_PROBE_PATH = "/.postern/engine";

/** `Upgrade` tokens: frames on the bare socket, or inside WebSocket messages. */
export const UPGRADE_DIRECT = "postern-link";
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

/** Window of each answer (the gateway's setting). Bounds what a paused caller can park per stream. */
export const ANSWER_WINDOW_BYTES = 256 * 1024;
/** Window of each prompt (the agent's setting, which collects the whole prompt anyway). */
export const PROMPT_WINDOW_BYTES = 1024 * 1024;
/** Most bytes of one `data` frame. */
export const DATA_FRAME_BYTES = 64 * 1024;
/** Bytes waiting in the socket above which bodies wait. What is ahead of a small request on a slow line. */
export const SOCKET_HIGH_BYTES = 512 * 1024;
/** Bytes waiting in the socket above which the far side counts as not reading. Bodies stop at `SOCKET_HIGH_BYTES`. */
export const OUTBOX_LIMIT_BYTES = 64 * 1024 * 1024;
/** Bytes that may come for streams that were given up, at most. */
export const STRAY_LIMIT_BYTES = 256 * 1024 * 1024;
/** Pings that the far side may send: this many at once, then this many a second. */
export const PING_BURST = 64;
export const PINGS_PER_SECOND = 8;
/** Pings of ours that may be unanswered. */
export const PINGS_OUTSTANDING = 16;
/** Attempts an agent takes at once unless told otherwise. */
export const DEFAULT_CAPACITY = 1024;
/** Streams beside the attempts: probes, and a reserve for streams that are just ending. */
export const RESERVED_STREAMS = 16;
/** Header fields of one request or answer, and the bytes of a whole head. */
export const HEADER_PAIRS_LIMIT = 64;
export const HEADER_BYTES_LIMIT = 32 * 1024;

/** Longest prompt that an agent collects, and all prompts in collection together. */
export const BODY_LIMIT_BYTES = 32 * 1024 * 1024;
export const BODY_MEMORY_BYTES = 256 * 1024 * 1024;

/** Longest message on the control channel, in bytes. */
export const CONTROL_LINE_LIMIT = 512 * 1024;
/** Control messages an end may send: this many at once, then this many a second. */
export const CONTROL_BURST = 64;
export const CONTROL_PER_SECOND = 8;
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
