import { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { Challenges, type ChallengesOptions, type Pending, unauthorized } from "./challenges.ts";
import {
  ACCEPT_HEADER,
  HANDSHAKE_TIMEOUT_MS,
  PING_INTERVAL_MS,
  UPGRADE_DIRECT,
  UPGRADE_WEBSOCKET,
  WEBSOCKET_PAYLOAD_LIMIT,
} from "./constants.ts";
import type { ConnectorDirectory, DirectoryNode } from "./directory.ts";
import { type Acceptance, type Proof, type Refusal, refusal, writeHeader, writeJson } from "./handshake.ts";
import { fingerprintOf, verifySignature } from "./identity.ts";
import { hashInvitationSecret } from "./invitation.ts";
import type { LinkId } from "./link.ts";
import { refusalText, replyJson, replyRefusal } from "./refusal-reply.ts";
import { giveBack } from "./session.ts";
import { agentTranscript, joinTranscript } from "./transcript.ts";
import { WebSocketCarrier } from "./websocket-carrier.ts";

/** A refused socket gets this long to take its answer. */
const REFUSED_SOCKET_MS = 1_000;

/** A link whose agent has proved who it is and whose roles have flipped. */
export interface AcceptedLink {
  id: LinkId;
  nodeName: string;
  carrier: Duplex;
  carrierKind: "direct" | "websocket";
  remoteAddress: string;
}

/** Where accepted links go; `Links` is one. */
interface LinkRegistry {
  check(id: LinkId): Refusal | null;
  register(accepted: AcceptedLink): unknown;
}

export interface AcceptorOptions extends ChallengesOptions {
  directory: ConnectorDirectory;
  links: LinkRegistry;
  /** Id of this instance and how many there are. */
  instance: { id: string; count(): number };
}

/** What a proof that holds says. */
interface Admission {
  pending: Pending;
  node: DirectoryNode;
  id: LinkId;
  carrierKind: "direct" | "websocket";
  remoteAddress: string;
}

/**
 * The gateway's side of the handshake (SPEC "Handshake"), on the public HTTP/1.1 listener, which belongs to others: they
 * call `handleRequest` and `handleUpgrade` for `CONNECT_PATH` and nothing else.
 *
 * No session exists before the agent has proved that it holds the key of an approved connector.
 */
export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #challenges: Challenges;
  readonly #webSockets: WebSocketServer;
  readonly #acceptHeaders = new WeakMap<IncomingMessage, string>();

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#challenges = new Challenges(options);
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: WEBSOCKET_PAYLOAD_LIMIT,
    });
    this.#webSockets.on("headers", (headers, request) => {
      headers.push(`${ACCEPT_HEADER}: ${this.#acceptHeaders.get(request) ?? ""}`);
    });
  }

  /** From now on every handshake is refused as `shutting_down`. Links stay. */
  stop(): void {
    this.#challenges.isStopping = true;
  }

  /** Joins and role flips that run now, and challenges that wait for their proof. */
  stats(): { running: number; pending: number } {
    return { running: this.#challenges.running, pending: this.#challenges.pending };
  }

  /** Answers a `GET` on `CONNECT_PATH` without upgrade: the hello, or the proof of a joiner. Always answers; never throws. */
  handleRequest(request: HttpRequest, response: HttpResponse): void {
    if (request.method !== "GET") {
      replyRefusal(response, refusal("bad_request", "This path only answers GET", { permanent: true }));
      return;
    }
    if (request.header("authorization") === undefined) {
      const result = this.#challenges.issue(request);
      if ("code" in result) replyRefusal(response, result);
      else replyJson(response, 200, writeJson(result));
      return;
    }
    const result = this.#challenges.redeem(request);
    if ("code" in result) replyRefusal(response, result);
    else this.#join(request, response, result.pending, result.proof);
  }

  /** Answers an upgrade on `CONNECT_PATH`: the proof of a connector. Takes the socket over; never throws. */
  handleUpgrade(request: HttpRequest, socket: Socket, head: Buffer): void {
    socket.on("error", () => {});
    const admission = this.#admit(request);
    if ("code" in admission) return this.#refuse(socket, admission);
    const settle = this.#begin(() => socket.destroy());
    socket.once("close", settle);
    const accept = writeHeader(this.#acceptance(admission.pending, admission.node));
    const flip = (carrier: Duplex) => {
      if (!settle() || carrier.destroyed) {
        carrier.destroy();
        return;
      }
      socket.off("close", settle);
      this.#options.links.register({
        id: admission.id,
        nodeName: admission.node.nodeName,
        carrier,
        carrierKind: admission.carrierKind,
        remoteAddress: admission.remoteAddress,
      });
      socket.resume();
    };
    if (admission.carrierKind === "websocket") {
      const message = asMessage(request, socket);
      this.#acceptHeaders.set(message, accept);
      this.#webSockets.handleUpgrade(message, socket, head, (webSocket) => flip(new WebSocketCarrier(webSocket)));
      return;
    }
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "Connection: Upgrade",
      `Upgrade: ${UPGRADE_DIRECT}`,
      `${ACCEPT_HEADER}: ${accept}`,
    ];
    // The flip must wait for this callback: a socket with a write in flight aborts the process (tunnels.md §6.3).
    socket.write(`${lines.join("\r\n")}\r\n\r\n`, (error) => {
      if (error) return;
      giveBack(socket, head);
      flip(socket);
    });
  }

  #admit(request: HttpRequest): Admission | Refusal {
    const checked = this.#challenges.redeem(request);
    if ("code" in checked) return checked;
    const { pending, proof } = checked;
    const { hello, transcript } = pending;
    const connector = this.#options.directory.find(hello.connector);
    if (connector === undefined || proof.join !== undefined) return unauthorized();
    if (!verifySignature(connector.publicKey, agentTranscript(transcript), proof.signature)) return unauthorized();
    const upgrade = request.header("upgrade")?.toLowerCase();
    if (upgrade !== UPGRADE_DIRECT && upgrade !== UPGRADE_WEBSOCKET) {
      return refusal("bad_request", "Upgrade to postern-link or websocket", { permanent: true });
    }
    const id = { nodeId: connector.nodeId, connectorId: hello.connector, slot: hello.slot, epoch: hello.epoch };
    return (
      this.#options.links.check(id) ?? {
        pending,
        node: connector,
        id,
        carrierKind: upgrade === UPGRADE_DIRECT ? "direct" : "websocket",
        remoteAddress: this.#options.addressOf(request),
      }
    );
  }

  #join(request: HttpRequest, response: HttpResponse, pending: Pending, proof: Proof): void {
    const { hello, transcript } = pending;
    const { join } = proof;
    if (join === undefined) return replyRefusal(response, unauthorized());
    const secretHash = hashInvitationSecret(join.secret);
    const message = joinTranscript(transcript, {
      invitationId: join.id,
      secretHash,
      connectorPublicKey: join.publicKey,
    });
    const isProved =
      fingerprintOf(join.publicKey) === hello.connector && verifySignature(join.publicKey, message, proof.signature);
    if (!isProved) return replyRefusal(response, unauthorized());
    const busy = refusal("busy", "The gateway could not check the invitation now", { retryAfterSeconds: 5 });
    const settle = this.#begin(() => replyRefusal(response, busy));
    const reply = (node: DirectoryNode | null) => {
      if (!settle()) return;
      if (node !== null) return replyJson(response, 200, writeJson(this.#acceptance(pending, node)));
      replyRefusal(response, refusal("invitation_refused", "The invitation is not valid", { permanent: true }));
    };
    // A joiner whose first answer was lost comes again with the same key: it is in already.
    const known = this.#options.directory.find(hello.connector);
    if (known !== undefined) return reply(known);
    const { id: invitationId, publicKey } = join;
    const remoteAddress = this.#options.addressOf(request);
    this.#options.directory
      .redeem({ invitationId, secretHash, connectorId: hello.connector, publicKey, remoteAddress })
      .then(reply, () => {
        if (settle()) replyRefusal(response, busy);
      });
  }

  /** Counts a handshake in. The function it returns counts it out and says whether it was the first to do so. */
  #begin(onTimeout: () => void): () => boolean {
    let isOver = false;
    const settle = () => {
      if (isOver) return false;
      isOver = true;
      this.#challenges.running -= 1;
      timer.cancel();
      return true;
    };
    this.#challenges.running += 1;
    const timer = this.#options.clock.after(HANDSHAKE_TIMEOUT_MS, () => {
      if (settle()) onTimeout();
    });
    return settle;
  }

  #acceptance(pending: Pending, node: DirectoryNode): Acceptance {
    return {
      instance: this.#options.instance.id,
      instances: this.#options.instance.count(),
      version: pending.transcript.version,
      capabilities: pending.capabilities,
      heartbeatMs: PING_INTERVAL_MS,
      node: { id: node.nodeId, name: node.nodeName },
    };
  }

  #refuse(socket: Duplex, refused: Refusal): void {
    socket.end(refusalText(refused));
    // Read what the peer still sends, so that it gets the answer rather than a reset; but not for long.
    socket.resume();
    const timer = this.#options.clock.after(REFUSED_SOCKET_MS, () => socket.destroy());
    socket.once("close", () => timer.cancel());
  }
}

/** The request as the WebSocket library wants it. */
function asMessage(request: HttpRequest, socket: Socket): IncomingMessage {
  const message = new IncomingMessage(socket);
  message.method = request.method;
  message.url = request.url;
  const { rawHeaders } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) message.headers[rawHeaders[at] ?? ""] ??= rawHeaders[at + 1];
  return message;
}
