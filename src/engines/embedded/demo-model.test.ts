import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readGguf } from "./__fixtures__/read-gguf.ts";
import { DEMO_CONTEXT_LENGTH, DEMO_SENTENCE, demoPieces, encodeDemoModel, ensureDemoModel } from "./demo-model.ts";

describe("encodeDemoModel()", () => {
  const bytes = encodeDemoModel("sentence");
  const { metadata, tensors, dataOffset } = readGguf(bytes);
  const tokens = metadata["tokenizer.ggml.tokens"] as string[];
  const width = Number(metadata["llama.embedding_length"]);

  /** The successor of a token: the row of the output matrix that its column points to. */
  function successor(file: Buffer, token: number): number {
    const output = readGguf(file).tensors.find((tensor) => tensor.name === "output.weight")!;
    const start = dataOffset + output.offset;
    return tokens.findIndex((_, row) => file.readUInt16LE(start + (row * width + token) * 2) !== 0);
  }

  test("gives the same bytes every time, other ones for the endless variant, about 1 MB", () => {
    expect(encodeDemoModel("sentence").equals(bytes)).toBe(true);
    expect(encodeDemoModel("endless").equals(bytes)).toBe(false);
    expect(bytes.length).toBeGreaterThan(500_000);
    expect(bytes.length).toBeLessThan(1_500_000);
  });

  test("describes a llama of one layer and one KV head whose width is a multiple of 64 that holds the vocabulary", () => {
    expect(metadata["general.architecture"]).toBe("llama");
    expect(metadata["llama.block_count"]).toBe(1);
    expect(metadata["llama.attention.head_count_kv"]).toBe(1);
    expect(metadata["llama.context_length"]).toBe(DEMO_CONTEXT_LENGTH);
    expect(width % 64).toBe(0);
    expect(width).toBeGreaterThanOrEqual(tokens.length);
    expect(width - tokens.length).toBeLessThan(64);
  });

  test("has a vocabulary without doubles and with a token for every byte", () => {
    expect(new Set(tokens).size).toBe(tokens.length);
    expect(tokens.filter((token) => /^<0x[0-9A-F]{2}>$/.test(token))).toHaveLength(256);
    expect(metadata["tokenizer.ggml.scores"]).toHaveLength(tokens.length);
    expect(metadata["tokenizer.ggml.token_type"]).toHaveLength(tokens.length);
  });

  test("has tensors that follow each other without gaps or overlap to the end of the file", () => {
    let offset = 0;
    for (const tensor of tensors) {
      expect(tensor.offset).toBe(offset);
      const elements = tensor.dimensions.reduce((product, size) => product * size, 1);
      offset += Math.ceil((elements * (tensor.type === 0 ? 4 : 2)) / 32) * 32;
    }
    expect(bytes.length).toBe(dataOffset + offset);
  });

  test("leads from every token, bytes and control tokens too, to the whole sentence and its end", () => {
    const starts = ["<0x0A>", "<0xFF>", "<|assistant|>", "<s>", "</s>", "<unk>", "\u2581"].map((text) =>
      tokens.indexOf(text),
    );
    for (const start of starts) {
      let text = "";
      let token = successor(bytes, start);
      for (; tokens[token] !== "</s>"; token = successor(bytes, token)) text += tokens[token];
      expect(text.replaceAll("\u2581", " ")).toBe(DEMO_SENTENCE);
    }
  });

  test("closes the endless chain: after the last piece comes a newline and then the start again", () => {
    const file = encodeDemoModel("endless");
    const last = tokens.length - 1;
    const newline = successor(file, last);
    expect(tokens[newline]).toBe("<0x0A>");
    expect(tokens[successor(file, newline)]).toBe(demoPieces()[0]);
  });

  test("says that it proves the path, not intelligence", () => {
    expect(DEMO_SENTENCE).toContain("demo model");
    expect(DEMO_SENTENCE).toContain("proves the path, not intelligence");
  });
});

describe("demoPieces()", () => {
  test("gives pieces of at least three characters, no two equal, that make up the sentence", () => {
    const pieces = demoPieces();
    expect(pieces.join("").replaceAll("\u2581", " ")).toBe(DEMO_SENTENCE);
    expect(new Set(pieces).size).toBe(pieces.length);
    expect(Math.min(...pieces.map((piece) => piece.length))).toBeGreaterThanOrEqual(3);
  });
});

describe("ensureDemoModel()", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "postern-demo-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("writes the file with mode 0600, nothing else, and does not write it again", async () => {
    const path = await ensureDemoModel(join(folder, "models"));
    const before = await stat(path);
    expect(before.mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder, "models"))).toHaveLength(1);
    expect(await ensureDemoModel(join(folder, "models"))).toBe(path);
    expect((await stat(path)).ino).toBe(before.ino);
  });

  test("replaces a file that was cut short", async () => {
    const path = await ensureDemoModel(folder);
    await truncate(path, 1000);
    await ensureDemoModel(folder);
    expect((await readFile(path)).equals(encodeDemoModel("sentence"))).toBe(true);
  });

  test("may be called twice at once", async () => {
    const paths = await Promise.all([ensureDemoModel(folder), ensureDemoModel(folder)]);
    expect(paths[0]).toBe(paths[1]);
    expect(await readdir(folder)).toHaveLength(1);
  });

  test("says in one line that the folder cannot be written", async () => {
    const file = join(folder, "file");
    await writeFile(file, "");
    await chmod(file, 0o400);
    await expect(ensureDemoModel(join(file, "models"))).rejects.toMatchObject({ code: "data_folder" });
  });
});
