import type { InputOptions, OutputOptions, Plugin } from "rolldown";

// What keeps a running process small, beyond what rolldown leaves out by itself.

/** Packages that Fastify asks for only where it was given no compilers (`createAdminApp` gives it some). */
const NEVER_LOADED = ["@fastify/ajv-compiler", "@fastify/fast-json-stringify-compiler"];

/** Names under which the module `http` is imported. */
const HTTP = ["node:http", "http"];

/**
 * `node:http` without what Node loads when it is first read. An `import` of the module itself reads every export, the last of which is
 * a whole `fetch` with its WebSocket: 4 MB.
 */
const httpOnUse: Plugin = {
  name: "http-on-use",
  resolveId: (id, _importer, { kind }) => (kind === "import-statement" && HTTP.includes(id) ? "\0http" : null),
  load(id) {
    if (id !== "\0http") return null;
    const exports = Object.entries(Object.getOwnPropertyDescriptors(process.getBuiltinModule("node:http")))
      .filter(([, property]) => "value" in property)
      .map(([name]) => `export const ${name} = http.${name};`);
    return ['const http = process.getBuiltinModule("node:http");', "export default http;", ...exports].join("\n");
  },
};

/** V8 keeps the text of every module; one character beyond Latin-1 makes it keep two bytes for each character of it. */
const asciiOnly: Plugin = {
  name: "ascii-only",
  // Not `renderChunk`: what is printed after it writes characters out again.
  generateBundle(_options, output) {
    for (const chunk of Object.values(output)) if (chunk.type === "chunk") chunk.code = toAscii(chunk.code);
  },
};

export const SMALL_INPUT = {
  platform: "node",
  logLevel: "warn",
  external: NEVER_LOADED,
  plugins: [httpOnUse, asciiOnly],
} satisfies InputOptions;

export const SMALL_OUTPUT = {
  format: "esm",
  comments: { legal: true, jsdoc: false, annotation: false },
} satisfies OutputOptions;

/** Escapes mean the same in strings, templates, expressions and names, but not behind a backslash. */
function toAscii(code: string): string {
  return code.replace(/(\\*)(\P{ASCII})/gu, (_, backslashes: string, character: string) => {
    if (backslashes.length % 2 === 1) throw new Error(`"${character}" stands behind a backslash and cannot be escaped`);
    return backslashes + escaped(character);
  });
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
