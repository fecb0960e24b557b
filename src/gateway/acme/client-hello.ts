/** What the first flight of a TLS client says about where it wants to go. */
export interface ClientHello {
  /** SNI, lower case; null where there is none. */
  serverName: string | null;
  /** ALPN, in the client's order. */
  protocols: readonly string[];
}

/** Longest first flight that is looked at: one TLS record. */
export const MAX_HELLO_BYTES = 5 + 16_384;

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;

/**
 * Reads SNI and ALPN out of a ClientHello without answering it.
 *
 * @returns `"more"` while the record is not whole, null for bytes that are no ClientHello in one record. Does not throw.
 * @see RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1
 */
export function readClientHello(bytes: Buffer): ClientHello | "more" | null {
  if (bytes.length > 0 && bytes[0] !== HANDSHAKE_RECORD) return null;
  if (bytes.length < 5) return "more";
  const recordBytes = bytes.readUInt16BE(3);
  if (5 + recordBytes > MAX_HELLO_BYTES) return null;
  if (bytes.length < 5 + recordBytes) return "more";
  try {
    return readExtensions(new Reader(bytes.subarray(5, 5 + recordBytes)));
  } catch {
    return null;
  }
}

function readExtensions(record: Reader): ClientHello | null {
  if (record.uint8() !== CLIENT_HELLO) return null;
  const hello = record.part(record.uint24());
  hello.part(2 + 32); // version and random
  hello.part(hello.uint8()); // session id
  hello.part(hello.uint16()); // cipher suites
  hello.part(hello.uint8()); // compression methods
  let serverName: string | null = null;
  const protocols: string[] = [];
  const extensions = hello.isAtEnd ? hello : hello.part(hello.uint16());
  while (!extensions.isAtEnd) {
    const type = extensions.uint16();
    const body = extensions.part(extensions.uint16());
    if (type === SERVER_NAME) {
      const names = body.part(body.uint16());
      if (names.uint8() === 0) serverName = names.part(names.uint16()).text().toLowerCase();
    } else if (type === ALPN) {
      const list = body.part(body.uint16());
      while (!list.isAtEnd) protocols.push(list.part(list.uint8()).text());
    }
  }
  return { serverName, protocols };
}

/** Reads numbers and parts one after the other; throws a RangeError beyond the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#step(1));
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#step(2));
  }

  uint24(): number {
    return this.#bytes.readUIntBE(this.#step(3), 3);
  }

  part(length: number): Reader {
    const start = this.#step(length);
    if (this.#at > this.#bytes.length) throw new RangeError("beyond the end");
    return new Reader(this.#bytes.subarray(start, this.#at));
  }

  text(): string {
    return this.#bytes.toString("latin1");
  }

  #step(length: number): number {
    const start = this.#at;
    this.#at += length;
    return start;
  }
}
