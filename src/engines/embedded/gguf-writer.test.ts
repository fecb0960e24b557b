import { describe, expect, test } from "vitest";
import { readGguf } from "./__fixtures__/read-gguf.ts";
import { encodeGguf } from "./gguf-writer.ts";

describe("encodeGguf()", () => {
  test("writes metadata of every type so that it can be read back", () => {
    const bytes = encodeGguf({
      metadata: [
        ["a", { type: "uint32", value: 0xffff_ffff }],
        ["b", { type: "float32", value: 0.5 }],
        ["c", { type: "bool", value: true }],
        ["d", { type: "string", value: "gruß" }],
        ["e", { type: "int32[]", value: [1, 2] }],
        ["f", { type: "float32[]", value: [] }],
        ["g", { type: "string[]", value: ["", "\u2581x"] }],
      ],
      tensors: [],
    });
    expect(readGguf(bytes).metadata).toEqual({
      a: 0xffff_ffff,
      b: 0.5,
      c: true,
      d: "gruß",
      e: [1, 2],
      f: [],
      g: ["", "\u2581x"],
    });
  });

  test("starts every tensor at a multiple of 32 bytes", () => {
    const bytes = encodeGguf({
      metadata: [],
      tensors: [
        { name: "one", dimensions: [3], data: Float32Array.of(1, 2, 3) },
        { name: "two", dimensions: [2, 1], data: Uint16Array.of(0x3c00, 0x4800) },
      ],
    });
    const { tensors, dataOffset } = readGguf(bytes);
    expect(dataOffset % 32).toBe(0);
    expect(tensors).toEqual([
      { name: "one", dimensions: [3], type: 0, offset: 0 },
      { name: "two", dimensions: [2, 1], type: 1, offset: 32 },
    ]);
    expect(bytes.readFloatLE(dataOffset + 8)).toBe(3);
    expect(bytes.readUInt16LE(dataOffset + 34)).toBe(0x4800);
    expect(bytes.length).toBe(dataOffset + 64);
  });
});
