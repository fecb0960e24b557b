import { createHash } from "node:crypto";

/** How the handshake is tied to the connection it runs on. See SPEC "Channel binding". */
export type BindingKind = "exporter" | "webpki" | "loopback";

/** What both signatures of a handshake cover. */
export interface Transcript {
  version: number;
  /** The name the agent dialled, `host` or `host:port`. */
  name: string;
  agentNonce: Uint8Array;
  gatewayNonce: Uint8Array;
  gatewayPublicKey: Uint8Array;
  binding: BindingKind;
  /** The exporter's bytes; empty for the other kinds. */
  bindingValue: Uint8Array;
  /** The hello exactly as it stood in its header: connector, slot, epoch, versions and capabilities. */
  hello: string;
}

/** What the agent adds when it joins. */
export interface JoinTranscript {
  invitationId: string;
  /** SHA-256 of the invitation's secret part. */
  secretHash: Uint8Array;
  connectorPublicKey: Uint8Array;
}

/** The bytes that the gateway signs in its challenge. */
export function gatewayTranscript(transcript: Transcript): Buffer {
  return encode("postern connect 1 gateway", common(transcript));
}

/** The bytes that the agent signs to connect. */
export function agentTranscript(transcript: Transcript): Buffer {
  return encode("postern connect 1 agent", common(transcript));
}

/** The bytes that the agent signs to join. */
export function joinTranscript(transcript: Transcript, join: JoinTranscript): Buffer {
  return encode("postern connect 1 join", [
    ...common(transcript),
    Buffer.from(join.invitationId, "utf8"),
    join.secretHash,
    join.connectorPublicKey,
  ]);
}

function common(transcript: Transcript): Uint8Array[] {
  return [
    Buffer.from(String(transcript.version), "latin1"),
    Buffer.from(transcript.name, "utf8"),
    transcript.agentNonce,
    transcript.gatewayNonce,
    transcript.gatewayPublicKey,
    Buffer.from(transcript.binding, "latin1"),
    transcript.bindingValue,
    createHash("sha256").update(transcript.hello, "utf8").digest(),
  ];
}

/** Every part behind its length, so that no two lists of parts make the same bytes. */
function encode(label: string, parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    [Buffer.from(label, "latin1"), ...parts].flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
}
