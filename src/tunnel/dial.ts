import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import { acceptBinding, isLoopback } from "./binding.ts";
import {
  AUTHORIZATION_SCHEME,
  CAPABILITIES,
  HELLO_HEADER,
  NONCE_BYTES,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
} from "./constants.ts";
import { type DialFailure, notGateway, notTrusted, refused, toDialFailure } from "./dial-failure.ts";
import { HandshakeConnection } from "./dial-http.ts";
import { openSocket } from "./dial-socket.ts";
import { type Acceptance, type Challenge, readChallenge, readJoined, writeHeader } from "./handshake.ts";
import { fingerprintOf, type Identity, isTrusted, verifySignature } from "./identity.ts";
import { hashInvitationSecret, type Invitation } from "./invitation.ts";
import { agentTranscript, gatewayTranscript, joinTranscript, type Transcript } from "./transcript.ts";

/** Default limit on a whole dial: name, TCP, TLS and handshake. */
const DIAL_TIMEOUT_MS = 15_000;

/** Whom to dial, and as whom. */
export interface DialOptions {
  /** `https://host[:port]`, or `http://` with a loopback host. The path is not used. */
  url: URL;
  /** Fingerprint of the gateway's identity, from the invitation or from the agent's state. */
  gatewayFingerprint: string;
  identity: Identity;
  /** Extra certificate authorities, PEM. Only matters where a proxy terminates TLS. */
  ca?: string | Buffer;
  /** See `proxyFor`. */
  proxy: URL | null;
  agentVersion: string;
  /** Versions of the operation and field tables. */
  tables: { operations: number; fields: number };
  slot: number;
  /** Greater than any this connector ever used. */
  epoch: number;
  /** Failed dials before this one. For the gateway's log. */
  attempt: number;
  clock: Clock;
  /** Default 15 s. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A connection whose handshake is done; the next bytes on it are frames. */
export interface Dialled {
  carrier: Duplex;
  acceptance: Acceptance;
  /** The gateway's present fingerprint: to be remembered instead of the one that was trusted, after a rotation. */
  gatewayFingerprint: string;
}

/** What came of an invitation. */
export interface Joined {
  acceptance: Acceptance;
  gatewayFingerprint: string;
}

export type DialResult<T> = { ok: true; value: T } | { ok: false; failure: DialFailure };

/** Dials the gateway and proves who this connector is, on a carrier of this kind. Never rejects. */
export function dial(options: DialOptions, carrierKind: "direct" | "websocket"): Promise<DialResult<Dialled>> {
  return run(options, async (connection) => {
    const { transcript, challenge } = await sayHello(connection, options);
    const signature = options.identity.sign(agentTranscript(transcript));
    const proof = writeHeader({ nonce: challenge.nonce, signature });
    const upgraded = await (carrierKind === "direct" ? connection.upgrade(proof) : connection.upgradeWebSocket(proof));
    return { ...upgraded, gatewayFingerprint: fingerprintOf(challenge.publicKey) };
  });
}

/**
 * Uses an invitation up: proves that this agent holds `options.identity`, and has the gateway approve it. Never rejects.
 * The connector's id is the fingerprint of its key. Repeating it with the same key after a lost answer is safe.
 */
export function join(
  options: Omit<DialOptions, "gatewayFingerprint" | "slot" | "attempt">,
  invitation: Invitation,
): Promise<DialResult<Joined>> {
  const complete = { ...options, gatewayFingerprint: invitation.gatewayFingerprint, slot: 0, attempt: 0 };
  return run(complete, async (connection) => {
    const { transcript, challenge } = await sayHello(connection, complete);
    const { publicKey } = options.identity;
    const secret = invitation.secret.reveal();
    const message = joinTranscript(transcript, {
      invitationId: invitation.id,
      secretHash: hashInvitationSecret(secret),
      connectorPublicKey: publicKey,
    });
    const proof = writeHeader({
      nonce: challenge.nonce,
      signature: options.identity.sign(message),
      join: { id: invitation.id, secret, publicKey },
    });
    const { response, body } = await connection.get({ authorization: `${AUTHORIZATION_SCHEME} ${proof}` });
    if (response.statusCode !== 200) throw refused("upgrade", response, body, true);
    const acceptance = readJoined(body);
    if (acceptance === null) throw notGateway("upgrade", "its answer to the invitation is not one");
    connection.socket.destroy();
    return { acceptance, gatewayFingerprint: fingerprintOf(challenge.publicKey) };
  });
}

async function run<T>(
  options: DialOptions,
  handshake: (connection: HandshakeConnection) => Promise<T>,
): Promise<DialResult<T>> {
  const deadline = new AbortController();
  const timer = options.clock.after(options.timeoutMs ?? DIAL_TIMEOUT_MS, () => {
    deadline.abort(new Error("no answer in time"));
  });
  const signal = options.signal === undefined ? deadline.signal : AbortSignal.any([options.signal, deadline.signal]);
  let socket: Socket | null = null;
  let connection: HandshakeConnection | null = null;
  const onAbort = () => socket?.destroy();
  signal.addEventListener("abort", onAbort);
  try {
    socket = await openSocket(options, signal);
    signal.throwIfAborted();
    if (options.url.protocol !== "https:" && !isLoopback(socket.remoteAddress)) {
      throw notTrusted("plain http:// is only for a gateway on the same machine");
    }
    connection = new HandshakeConnection(socket, options.url.host);
    const value = await handshake(connection);
    signal.throwIfAborted();
    return { ok: true, value };
  } catch (error) {
    socket?.destroy();
    const reason: unknown = signal.aborted ? signal.reason : error;
    const stage = options.signal?.aborted === true ? "aborted" : (connection?.stage ?? "connect");
    return { ok: false, failure: toDialFailure(reason, stage, options.url.host) };
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", onAbort);
  }
}

/** The first step: says who is calling, and has the gateway prove who it is, before any secret is sent. */
async function sayHello(
  connection: HandshakeConnection,
  options: DialOptions,
): Promise<{ transcript: Transcript; challenge: Challenge }> {
  const { socket } = connection;
  const agentNonce = randomBytes(NONCE_BYTES);
  const hello = writeHeader({
    nonce: agentNonce,
    connector: options.identity.fingerprint,
    slot: options.slot,
    epoch: options.epoch,
    protocol: { min: PROTOCOL_MIN, max: PROTOCOL_MAX },
    requires: CAPABILITIES,
    offers: [],
    tables: options.tables,
    name: options.url.host,
    transport: options.url.protocol === "https:" ? "tls" : "plain",
    version: options.agentVersion,
    attempt: options.attempt,
  });
  const { response, body } = await connection.get({ [HELLO_HEADER]: hello });
  if (response.statusCode !== 200) throw refused("hello", response, body, isAuthentic(socket));
  const challenge = readChallenge(body);
  if (challenge === null) throw notGateway("hello", "what answers there is not a Postern gateway");
  if (challenge.version < PROTOCOL_MIN || challenge.version > PROTOCOL_MAX) {
    throw notGateway("hello", "it chose a version that was not offered");
  }
  if (!isTrusted(options.gatewayFingerprint, challenge.publicKey, challenge.chain)) {
    throw notTrusted("it presents another identity than the one that invited this node");
  }
  const binding = acceptBinding(socket, challenge.binding);
  if ("problem" in binding) throw notTrusted(binding.problem);
  const transcript: Transcript = {
    version: challenge.version,
    name: options.url.host,
    agentNonce,
    gatewayNonce: challenge.nonce,
    gatewayPublicKey: challenge.publicKey,
    binding: binding.kind,
    bindingValue: binding.value,
    hello,
  };
  if (!verifySignature(challenge.publicKey, gatewayTranscript(transcript), challenge.signature)) {
    throw notTrusted("its signature does not fit this connection; something on the way may open TLS");
  }
  connection.stage = "upgrade";
  return { transcript, challenge };
}

/** Whoever answers the hello has proved nothing yet: it is believed only on plain loopback or with a valid certificate. */
function isAuthentic(socket: Socket): boolean {
  return !("authorized" in socket) || socket.authorized === true;
}
