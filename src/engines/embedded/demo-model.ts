import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PosternError } from "../../errors.ts";
import { encodeGguf, type GgufTensor, type GgufValue } from "./gguf-writer.ts";

/**
 * The model that Postern makes for itself, so that the whole path can be tried without a download.
 *
 * A real one-layer llama for llama.cpp whose attention and feed-forward weights are zero: the hidden state stays the one-hot
 * embedding of the last token, and the output matrix says which token follows it. Greedy decoding spells one sentence and
 * stops. It proves the path, not intelligence; whatever shows it must say so.
 */
export type DemoVariant = "sentence" | "endless";

/** Name under which each variant is served. `endless` repeats the sentence for as long as it is asked to. */
export const DEMO_MODEL_NAMES: Readonly<Record<DemoVariant, string>> = {
  sentence: "postern-demo",
  endless: "postern-demo-endless",
};

/** What the demo model answers to everything, word for word. The endless variant repeats it, line after line. */
export const DEMO_SENTENCE =
  "Hello! I am Postern's demo model, and you have just talked to a real llama.cpp: your request went in at the gateway, " +
  "through the tunnel, past the agent and into the engine, and every one of these tokens came back the same way. " +
  "That proves the path, not intelligence, because I say this whatever you ask. " +
  "Serve a model of your own for real answers.";

/** Tokens (prompt and answer together) that the demo model holds. Most characters of a prompt cost one token each. */
export const DEMO_CONTEXT_LENGTH = 8192;

/** Change it with anything that changes the bytes, so that files of older versions are not taken for current ones. */
const REVISION = 1;

const UNKNOWN = 0;
const BEGIN = 1;
const END = 2;
const FIRST_BYTE = 3;
const NEWLINE = FIRST_BYTE + 0x0a;
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;
/** SentencePiece's stand-in for a space (U+2581). */
const SPACE = "\u2581";
/** Ends a message and, like END, an answer. */
const END_OF_TURN = "<|end|>";
const ROLE_TOKENS = ["<|system|>", "<|user|>", "<|assistant|>", END_OF_TURN];
const CHAT_TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' }}{{ message['content'] }}" +
  "{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

const HEAD_LENGTH = 64;
const FEED_FORWARD_LENGTH = 64;
/** Half-float bits. The norm scales a one-hot state by √width, so that 8 makes a logit of about 150: certain at any temperature. */
const HALF_ONE = 0x3c00;
const HALF_EIGHT = 0x4800;
/** Pieces this short could be formed from typed text, which would then continue the sentence in its middle. */
const MIN_PIECE_CHARACTERS = 3;

/**
 * Path of the demo model in `folder`, written there first if it is missing (about 1 MB, mode 0600, renamed into place whole).
 *
 * @throws PosternError `data_folder` when the folder cannot be written.
 */
export async function ensureDemoModel(folder: string, variant: DemoVariant = "sentence"): Promise<string> {
  const path = join(folder, `${DEMO_MODEL_NAMES[variant]}-r${REVISION}.gguf`);
  const bytes = encodeDemoModel(variant);
  try {
    if ((await stat(path).catch(() => null))?.size === bytes.length) return path;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
    try {
      await writeDurably(temporary, bytes);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    await chmod(path, 0o600);
    return path;
  } catch (cause) {
    throw new PosternError("data_folder", {
      message: "Cannot write the demo model into the data folder",
      hint: "Make the data folder writable for this user, or choose another one with POSTERN_DATA.",
      detail: { folder },
      cause,
    });
  }
}

/** The demo model as a GGUF file. The same variant always gives the same bytes. */
export function encodeDemoModel(variant: DemoVariant): Buffer {
  const vocabulary = buildVocabulary();
  const next = chain(vocabulary, variant);
  const width = Math.ceil(vocabulary.tokens.length / HEAD_LENGTH) * HEAD_LENGTH;
  return encodeGguf({ metadata: metadata(vocabulary, variant, width), tensors: tensors(next, width) });
}

/** The sentence cut into pieces of which no two are equal: each token has exactly one successor, so none may occur twice. */
export function demoPieces(): string[] {
  const pieces: string[] = [];
  let piece = "";
  for (const word of DEMO_SENTENCE.split(/(?= )/)) {
    piece += word.replace(" ", SPACE);
    if (piece.length < MIN_PIECE_CHARACTERS || pieces.includes(piece)) continue;
    pieces.push(piece);
    piece = "";
  }
  if (piece !== "") pieces.push(`${pieces.pop() ?? ""}${piece}`);
  return pieces;
}

interface Vocabulary {
  tokens: string[];
  types: number[];
  firstPiece: number;
}

function buildVocabulary(): Vocabulary {
  const tokens = ["<unk>", "<s>", "</s>"];
  const types: number[] = [TOKEN_TYPE.unknown, TOKEN_TYPE.control, TOKEN_TYPE.control];
  function add(token: string, type: number): void {
    tokens.push(token);
    types.push(type);
  }
  for (let byte = 0; byte < 256; byte += 1) {
    add(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, TOKEN_TYPE.byte);
  }
  for (const token of ROLE_TOKENS) add(token, TOKEN_TYPE.control);
  // Without it every space of a prompt would cost the three bytes of U+2581.
  add(SPACE, TOKEN_TYPE.normal);
  const firstPiece = tokens.length;
  for (const piece of demoPieces()) add(piece, TOKEN_TYPE.normal);
  return { tokens, types, firstPiece };
}

/** Successor of every token: within the sentence the next piece, from anywhere else (bytes and control tokens too) its start. */
function chain({ tokens, firstPiece }: Vocabulary, variant: DemoVariant): number[] {
  return tokens.map((_, token) => {
    if (token < firstPiece) return firstPiece;
    if (token < tokens.length - 1) return token + 1;
    // The newline leads back to the start, as every byte does.
    return variant === "endless" ? NEWLINE : END;
  });
}

function metadata(vocabulary: Vocabulary, variant: DemoVariant, width: number): Array<[string, GgufValue]> {
  const { tokens, types } = vocabulary;
  return [
    ["general.architecture", string("llama")],
    ["general.name", string(DEMO_MODEL_NAMES[variant])],
    ["general.description", string("Postern's demo model. It proves the path, not intelligence.")],
    ["general.file_type", uint32(1)],
    ["llama.block_count", uint32(1)],
    ["llama.context_length", uint32(DEMO_CONTEXT_LENGTH)],
    ["llama.embedding_length", uint32(width)],
    ["llama.feed_forward_length", uint32(FEED_FORWARD_LENGTH)],
    ["llama.attention.head_count", uint32(width / HEAD_LENGTH)],
    ["llama.attention.head_count_kv", uint32(1)],
    ["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: 1e-5 }],
    ["llama.rope.dimension_count", uint32(HEAD_LENGTH)],
    ["llama.vocab_size", uint32(tokens.length)],
    ["tokenizer.ggml.model", string("llama")],
    ["tokenizer.ggml.pre", string("default")],
    ["tokenizer.ggml.tokens", { type: "string[]", value: tokens }],
    ["tokenizer.ggml.scores", { type: "float32[]", value: tokens.map(() => 0) }],
    ["tokenizer.ggml.token_type", { type: "int32[]", value: types }],
    ["tokenizer.ggml.bos_token_id", uint32(BEGIN)],
    ["tokenizer.ggml.eos_token_id", uint32(END)],
    ["tokenizer.ggml.eot_token_id", uint32(tokens.indexOf(END_OF_TURN))],
    ["tokenizer.ggml.unknown_token_id", uint32(UNKNOWN)],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
    ["tokenizer.ggml.add_space_prefix", { type: "bool", value: false }],
    ["tokenizer.chat_template", string(CHAT_TEMPLATE)],
  ];
}

function tensors(next: readonly number[], width: number): GgufTensor[] {
  const embedding = new Uint16Array(next.length * width);
  const output = new Uint16Array(next.length * width);
  next.forEach((successor, token) => {
    embedding[token * width + token] = HALF_ONE;
    output[successor * width + token] = HALF_EIGHT;
  });
  const ones = new Float32Array(width).fill(1);
  function zeros(name: string, columns: number, rows: number): GgufTensor {
    return { name: `blk.0.${name}.weight`, dimensions: [columns, rows], data: new Uint16Array(columns * rows) };
  }
  return [
    { name: "token_embd.weight", dimensions: [width, next.length], data: embedding },
    { name: "blk.0.attn_norm.weight", dimensions: [width], data: ones },
    zeros("attn_q", width, width),
    zeros("attn_k", width, HEAD_LENGTH),
    zeros("attn_v", width, HEAD_LENGTH),
    zeros("attn_output", width, width),
    { name: "blk.0.ffn_norm.weight", dimensions: [width], data: ones },
    zeros("ffn_gate", width, FEED_FORWARD_LENGTH),
    zeros("ffn_up", width, FEED_FORWARD_LENGTH),
    zeros("ffn_down", FEED_FORWARD_LENGTH, width),
    { name: "output_norm.weight", dimensions: [width], data: ones },
    { name: "output.weight", dimensions: [width, next.length], data: output },
  ];
}

async function writeDurably(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

function string(value: string): GgufValue {
  return { type: "string", value };
}

function uint32(value: number): GgufValue {
  return { type: "uint32", value };
}
