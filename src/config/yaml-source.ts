import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { ConfigFault } from "./diagnostics.ts";

/** Longest file that is read. */
export const MAX_CONFIG_BYTES = 1024 * 1024;

export interface YamlSource {
  /** The document as plain values; `{}` for an empty file. Hostile until the schema has read it. */
  data: unknown;
  /** Line and column, from 1, of the value at `path`, of its key when `key` is set, or of the nearest parent that exists. */
  locate(path: readonly PropertyKey[], key?: boolean): { line: number; column: number };
}

/** Reads YAML text and keeps where everything stands. Syntax errors and duplicate keys come back as faults. */
export function readYaml(text: string, sourceName: string): YamlSource | { faults: ConfigFault[] } {
  const lines = new LineCounter();
  // Our own positions instead of `prettyErrors`: those quote the file, and the file may hold what should not be printed.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    return {
      faults: document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return {
          source: sourceName,
          line,
          column: col,
          path: "",
          rule: `is not valid YAML: ${error.message}`,
          seen: null,
        };
      }),
    };
  }
  let data: unknown;
  try {
    data = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch {
    return {
      faults: [{ source: sourceName, line: 1, column: 1, path: "", rule: "uses too many aliases", seen: null }],
    };
  }
  return {
    data,
    locate(path, key = false) {
      const { line, col } = lines.linePos(offsetOf(document, path, key));
      return { line, column: col };
    },
  };
}

function offsetOf(document: Document.Parsed, path: readonly PropertyKey[], key: boolean): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0] ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      if (pair === undefined) return offset;
      const keyOffset = isScalar(pair.key) ? pair.key.range?.[0] : undefined;
      const valueOffset = (pair.value as { range?: [number, number, number] } | null)?.range?.[0];
      // A missing value has a range that may start on the next line; its key is where a person looks.
      const isLast = depth === path.length - 1;
      const isEmpty = isScalar(pair.value) && pair.value.source === "";
      offset = (isLast && !key && !isEmpty ? (valueOffset ?? keyOffset) : keyOffset) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(part)];
      offset = (item as { range?: [number, number, number] } | undefined)?.range?.[0] ?? offset;
      node = item;
    } else return offset;
  }
  return offset;
}
