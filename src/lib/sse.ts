/**
 * The data of one complete event of an SSE stream: its `data` lines joined by line feeds; null when it has none (comments,
 * heartbeats). Lines end in LF or CRLF; a lone CR, which the standard also allows, is not treated as an end: no engine
 * writes it.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export function eventData(record: string): string | null {
  let data: string | null = null;
  for (const line of record.split("\n")) {
    if (!line.startsWith("data")) continue;
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (text !== "data" && text[4] !== ":") continue;
    const value = text.slice(text[5] === " " ? 6 : 5);
    data = data === null ? value : `${data}\n${value}`;
  }
  return data;
}

/** The name of an event (`event:` line), or null. */
export function eventName(record: string): string | null {
  let name: string | null = null;
  for (const line of record.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
  }
  return name;
}
