/** A second, independent reading of the GGUF specification, to check the writer against. Small files only; trusts its input. */
export interface GgufContents {
  metadata: Record<string, unknown>;
  tensors: Array<{ name: string; dimensions: number[]; type: number; offset: number }>;
  /** Where tensor data begins. */
  dataOffset: number;
}

export function readGguf(bytes: Buffer): GgufContents {
  let at = 0;
  function u32(): number {
    at += 4;
    return bytes.readUInt32LE(at - 4);
  }
  function u64(): number {
    at += 8;
    return Number(bytes.readBigUInt64LE(at - 8));
  }
  function text(): string {
    const length = u64();
    at += length;
    return bytes.toString("utf8", at - length, at);
  }
  function value(type: number): unknown {
    switch (type) {
      case 4:
        return u32();
      case 5:
        return u32() | 0;
      case 6:
        at += 4;
        return bytes.readFloatLE(at - 4);
      case 7:
        at += 1;
        return bytes[at - 1] === 1;
      case 8:
        return text();
      case 9: {
        const element = u32();
        return Array.from({ length: u64() }, () => value(element));
      }
      default:
        throw new Error(`value type ${type}`);
    }
  }
  if (bytes.toString("latin1", 0, 4) !== "GGUF") throw new Error("not GGUF");
  at = 4;
  if (u32() !== 3) throw new Error("not version 3");
  const tensorCount = u64();
  const metadata = Object.fromEntries(Array.from({ length: u64() }, () => [text(), value(u32())]));
  const tensors = Array.from({ length: tensorCount }, () => ({
    name: text(),
    dimensions: Array.from({ length: u32() }, u64),
    type: u32(),
    offset: u64(),
  }));
  return { metadata, tensors, dataOffset: Math.ceil(at / 32) * 32 };
}
