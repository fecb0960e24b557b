/** One question to a model, as an app asks it. */
export interface Ask {
  model: string;
  prompt: string;
  maxTokens: number;
  signal?: AbortSignal;
}

/** What the library told its app. Names of reasons are the library's own. */
export interface Said {
  text: string;
  finish: string | null;
  tokensIn: number | null;
  tokensOut: number | null;
}

/** What a tool does in the app: it gets the input and gives the text for the model. */
export type RunTool = (input: { city: string }) => string;

/** The tool that every client offers. */
export const WEATHER = {
  name: "get_weather",
  description: "Tells the weather in a city.",
  schema: {
    type: "object" as const,
    properties: { city: { type: "string" as const, description: "Name of the city" } },
    required: ["city"],
    additionalProperties: false,
  },
};

/** An error as the library hands it to its app. */
export interface Failure {
  status: number | null;
  /** The word that apps match: `code` of OpenAI, `type` of Anthropic; null where the dialect has none. */
  code: string | null;
  message: string;
}

/** A library with an open door, for one dialect. What it cannot do is not there. */
export interface Client {
  /** A whole answer. */
  whole?(ask: Ask): Promise<Said>;
  /** A streamed one; `onPiece` gets each piece of text as the library hands it out. */
  stream?(ask: Ask, onPiece: (text: string) => void): Promise<Said>;
  /** Asks with a tool, runs what is called, hands back the results, and gives the last answer. */
  useTool?(ask: Ask, run: RunTool, isStream: boolean): Promise<Said>;
  /** Vectors of texts. */
  embed?(model: string, texts: readonly string[], signal?: AbortSignal): Promise<number[][]>;
  /** Reads the library's own error; throws when it is none of its own. */
  failure(error: unknown): Failure;
}

/** How a library reaches the gateway. */
export interface Door {
  /** Without `/v1`. */
  origin: string;
  key: string;
  /** Watches the requests. */
  fetch: typeof fetch;
}

export interface ClientKind {
  /** What an app installs, the package that speaks first. */
  packages: readonly string[];
  /** In words, as on the page: `OpenAI chat`. */
  dialect: string;
  /** Id of the operation that it calls. */
  operation: string;
  connect(door: Door): Client;
}

/** What a kind of client can do. Told by opening one that nobody asks anything of. */
export function abilitiesOf(kind: ClientKind): Client {
  return kind.connect({ origin: "http://127.0.0.1:9", key: "nobody", fetch });
}

/** Rejects a turn that goes on for ever. */
export const MAX_STEPS = 3;
