import { randomUUID } from "node:crypto";
import type { AnswerEvent } from "../conversation.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";

type ToolEvent = Extract<AnswerEvent, { type: "tool_start" | "tool_arguments" }>;

interface Call {
  /** Its place in the answer, or -1 while its name is not known. */
  index: number;
  /** As the engine said it, or an empty string. */
  saidId: string;
  name: string;
  /** Arguments that came before the name. */
  waiting: string;
  hasArguments: boolean;
}

/** Most calls of one answer. */
const MAX_CALLS = 128;
/** Most arguments that wait for the name of their call. */
const MAX_WAITING_LENGTH = 1024 * 1024;

/**
 * Tells the tool calls of an answer apart and numbers them by the order of their starts.
 *
 * Engines leave out `index` or `id`, give parallel calls one index, repeat ids, or repeat the name with every fragment
 * (engine-apis §3.4, 8). A missing id is made here, unique also between answers, because callers join results to calls by
 * id across the whole conversation.
 */
export class ToolCallIndex {
  readonly #calls: Call[] = [];
  /** The latest call of each index that the engine named. */
  readonly #byIndex = new Map<number, Call>();
  readonly #ids = new Set<string>();
  #started = 0;

  get count(): number {
    return this.#started;
  }

  /** The events of one delta or whole message. An empty list of calls says nothing (vLLM sends it with plain text). */
  read(delta: JsonObject): ToolEvent[] {
    const events: ToolEvent[] = [];
    const list = delta["tool_calls"];
    if (Array.isArray(list)) {
      for (const item of list) {
        if (!isJsonObject(item)) continue;
        const said = item["function"];
        this.#take(item["index"], item["id"], isJsonObject(said) ? said : {}, events);
      }
    }
    const legacy = delta["function_call"];
    if (isJsonObject(legacy)) this.#take(LEGACY_INDEX, undefined, legacy, events);
    return events;
  }

  #take(saidIndex: unknown, saidId: unknown, said: JsonObject, events: ToolEvent[]): void {
    const index = Number.isSafeInteger(saidIndex) ? (saidIndex as number) : null;
    const id = typeof saidId === "string" ? saidId : "";
    const name = typeof said["name"] === "string" ? said["name"] : "";
    const text = argumentsText(said["arguments"]);
    const call = this.#find(index, id, name, text) ?? this.#open(index, id);
    if (call === null) return;
    if (call.saidId === "") call.saidId = id;
    if (call.index === -1) {
      if (name === "") {
        if (call.waiting.length + text.length <= MAX_WAITING_LENGTH) call.waiting += text;
        return;
      }
      call.name = name;
      call.index = this.#started++;
      events.push({ type: "tool_start", index: call.index, id: this.#uniqueId(call.saidId), name });
      const json = call.waiting + text;
      call.waiting = "";
      if (json !== "") {
        call.hasArguments = true;
        events.push({ type: "tool_arguments", index: call.index, json });
      }
      return;
    }
    if (text === "") return;
    call.hasArguments = true;
    events.push({ type: "tool_arguments", index: call.index, json: text });
  }

  /** The call that a fragment continues, or undefined when it begins one. */
  #find(index: number | null, id: string, name: string, text: string): Call | undefined {
    if (index === null) {
      if (id !== "") return this.#calls.find((call) => call.saidId === id);
      return name === "" ? this.#calls.at(-1) : undefined;
    }
    const call = this.#byIndex.get(index);
    if (call === undefined) return undefined;
    if (id !== "" && call.saidId !== "" && id !== call.saidId) return undefined;
    // One index for several calls: a name again, and arguments that begin anew.
    const beginsAnew = name !== "" && call.hasArguments && (name !== call.name || text.startsWith("{"));
    return beginsAnew && (id === "" || id !== call.saidId) ? undefined : call;
  }

  #open(index: number | null, saidId: string): Call | null {
    if (this.#calls.length >= MAX_CALLS) return null;
    const call: Call = { index: -1, saidId, name: "", waiting: "", hasArguments: false };
    this.#calls.push(call);
    if (index !== null) this.#byIndex.set(index, call);
    return call;
  }

  #uniqueId(saidId: string): string {
    const id = saidId === "" || this.#ids.has(saidId) ? `call_${randomUUID().replaceAll("-", "")}` : saidId;
    this.#ids.add(id);
    return id;
  }
}

/** Where the older single call is kept; no engine sends this index. */
const LEGACY_INDEX = -1;

/** Arguments are JSON text; some engines send the object itself. */
function argumentsText(value: unknown): string {
  if (typeof value === "string") return value;
  return isJsonObject(value) ? JSON.stringify(value) : "";
}
