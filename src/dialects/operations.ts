/**
 * The operations that Postern serves: exact (method, path) pairs. Everything else is 404 without upstream contact.
 *
 * The same table is enforced at the gateway and again at the agent. It carries a version, because the two run at
 * different versions on two machines: the gateway plans only operations that the agent advertised.
 */
export const OPERATIONS_VERSION = 3;

export type Dialect =
  | "openai-chat"
  | "openai-completions"
  | "openai-embeddings"
  | "openai-responses"
  | "openai-rerank"
  | "openai-transcriptions"
  | "anthropic-messages"
  | "ollama-chat"
  | "ollama-generate"
  | "ollama-embed";

/**
 * `infer` goes to a target. `count` asks how long a prompt is: natively where the target can, else it is an estimate of ours.
 * `list`, `item`, `loaded` and `show` are answered by the gateway from its catalogue, `hello` and `version` without anything.
 */
type OperationKind = "infer" | "count" | "list" | "item" | "loaded" | "show" | "hello" | "version";

export interface Operation {
  readonly id: string;
  readonly method: "GET" | "POST" | "HEAD";
  /** Public path and, for `infer` and `count`, also the one path that is ever sent to an engine. */
  readonly path: string;
  readonly kind: OperationKind;
  /** Whose error bodies the path answers with. */
  readonly family: "openai" | "anthropic" | "ollama";
  /** Wire format of request and answer; null for lists. */
  readonly dialect: Dialect | null;
  /** Whether the answer may be a stream. */
  readonly canStream: boolean;
  /** Not there unless the operator asks for it. */
  readonly isOptIn?: boolean;
}

export const OPERATIONS: readonly Operation[] = [
  infer("openai.chat", "/v1/chat/completions", "openai-chat", true),
  infer("openai.completions", "/v1/completions", "openai-completions", true),
  infer("openai.embeddings", "/v1/embeddings", "openai-embeddings", false),
  infer("openai.responses", "/v1/responses", "openai-responses", true),
  { ...infer("openai.rerank", "/v1/rerank", "openai-rerank", false), isOptIn: true },
  { ...infer("openai.transcriptions", "/v1/audio/transcriptions", "openai-transcriptions", true), isOptIn: true },
  {
    id: "openai.models",
    method: "GET",
    path: "/v1/models",
    kind: "list",
    family: "openai",
    dialect: null,
    canStream: false,
  },
  {
    id: "openai.model",
    method: "GET",
    path: "/v1/models/",
    kind: "item",
    family: "openai",
    dialect: null,
    canStream: false,
  },
  {
    id: "anthropic.messages",
    method: "POST",
    path: "/v1/messages",
    kind: "infer",
    family: "anthropic",
    dialect: "anthropic-messages",
    canStream: true,
  },
  {
    id: "anthropic.count_tokens",
    method: "POST",
    path: "/v1/messages/count_tokens",
    kind: "count",
    family: "anthropic",
    dialect: "anthropic-messages",
    canStream: false,
  },
  {
    id: "anthropic.hello",
    method: "HEAD",
    path: "/api/hello",
    kind: "hello",
    family: "anthropic",
    dialect: null,
    canStream: false,
  },
  ollama("ollama.chat", "POST", "/api/chat", "infer", "ollama-chat", true),
  ollama("ollama.generate", "POST", "/api/generate", "infer", "ollama-generate", true),
  ollama("ollama.embed", "POST", "/api/embed", "infer", "ollama-embed"),
  ollama("ollama.embeddings", "POST", "/api/embeddings", "infer", "ollama-embed"),
  ollama("ollama.tags", "GET", "/api/tags", "list"),
  ollama("ollama.ps", "GET", "/api/ps", "loaded"),
  ollama("ollama.show", "POST", "/api/show", "show"),
  ollama("ollama.version", "GET", "/api/version", "version"),
  ollama("ollama.root", "HEAD", "/", "hello"),
];

const BY_ID = new Map(OPERATIONS.map((operation) => [operation.id, operation]));

/** The operation with this id, or undefined. */
export function operationById(id: string): Operation | undefined {
  return BY_ID.get(id);
}

function infer(id: string, path: string, dialect: Dialect, canStream: boolean): Operation {
  return { id, method: "POST", path, kind: "infer", family: "openai", dialect, canStream };
}

function ollama(
  id: string,
  method: Operation["method"],
  path: string,
  kind: OperationKind,
  dialect: Dialect | null = null,
  canStream = false,
): Operation {
  return { id, method, path, kind, family: "ollama", dialect, canStream };
}
