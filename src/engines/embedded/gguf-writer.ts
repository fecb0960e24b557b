/**
 * Writes GGUF version 3, the file format of llama.cpp, as far as the demo model needs it.
 *
 * Little endian throughout; strings and arrays carry 64-bit lengths; tensor data starts at the next multiple of 32.
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export interface GgufFile {
  metadata: ReadonlyArray<readonly [key: string, value: GgufValue]>;
  tensors: readonly GgufTensor[];
}

export type GgufValue =
  | { type: "uint32"; value: number }
  | { type: "float32"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | { type: "int32[]"; value: readonly number[] }
  | { type: "float32[]"; value: readonly number[] }
  | { type: "string[]"; value: readonly string[] };

export interface GgufTensor {
  name: string;
  /** Sizes with the fastest-moving dimension first, as ggml counts them: `[columns, rows]`. */
  dimensions: readonly number[];
  /** Raw values; the element type follows from the array: half floats are kept as their 16 bits. */
  data: Float32Array | Uint16Array;
}

const GGUF_VERSION = 3;
const ALIGNMENT_BYTES = 32;
const VALUE_TYPE = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;
const TENSOR_TYPE = { float32: 0, float16: 1 } as const;

/** The bytes of `file`. The same input gives the same bytes. Does not throw. */
export function encodeGguf(file: GgufFile): Buffer {
  const head: Buffer[] = [
    Buffer.from("GGUF", "latin1"),
    uint32(GGUF_VERSION),
    uint64(file.tensors.length),
    uint64(file.metadata.length),
  ];
  for (const [key, value] of file.metadata) head.push(text(key), ...encodeValue(value));
  let offset = 0;
  for (const tensor of file.tensors) {
    head.push(text(tensor.name), uint32(tensor.dimensions.length), ...tensor.dimensions.map(uint64));
    head.push(uint32(tensor.data instanceof Float32Array ? TENSOR_TYPE.float32 : TENSOR_TYPE.float16), uint64(offset));
    offset = align(offset + tensor.data.byteLength);
  }
  const parts = [padded(Buffer.concat(head))];
  for (const tensor of file.tensors) parts.push(padded(littleEndian(tensor.data)));
  return Buffer.concat(parts);
}

function encodeValue(entry: GgufValue): Buffer[] {
  switch (entry.type) {
    case "uint32":
      return [uint32(VALUE_TYPE.uint32), uint32(entry.value)];
    case "float32":
      return [uint32(VALUE_TYPE.float32), float32(entry.value)];
    case "bool":
      return [uint32(VALUE_TYPE.bool), Buffer.from([entry.value ? 1 : 0])];
    case "string":
      return [uint32(VALUE_TYPE.string), text(entry.value)];
    case "int32[]":
      return [...array(VALUE_TYPE.int32, entry.value.length), ...entry.value.map(uint32)];
    case "float32[]":
      return [...array(VALUE_TYPE.float32, entry.value.length), ...entry.value.map(float32)];
    case "string[]":
      return [...array(VALUE_TYPE.string, entry.value.length), ...entry.value.map(text)];
    default:
      return entry satisfies never;
  }
}

function array(elementType: number, length: number): Buffer[] {
  return [uint32(VALUE_TYPE.array), uint32(elementType), uint64(length)];
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function littleEndian(data: Float32Array | Uint16Array): Buffer {
  const bytes = Buffer.alloc(data.byteLength);
  if (data instanceof Float32Array) data.forEach((value, index) => void bytes.writeFloatLE(value, index * 4));
  else data.forEach((value, index) => void bytes.writeUInt16LE(value, index * 2));
  return bytes;
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(align(bytes.length) - bytes.length)]);
}

function align(offset: number): number {
  return Math.ceil(offset / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
