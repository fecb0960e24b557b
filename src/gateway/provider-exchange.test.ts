import { expect, test } from "vitest";
import type { CancelReason, ExchangeFailure } from "../lib/exchange.ts";
import { ProviderExchange } from "./provider-exchange.ts";

const JSON_HEAD = { "content-type": "application/json" };

/** A provider's exchange between an inner one that the test plays and a handler that writes down what it gets. */
function play() {
  const said: string[] = [];
  const books: string[] = [];
  const cancelled: CancelReason[] = [];
  const exchange = new ProviderExchange(
    {
      onHead: (status, headers) => said.push(`head ${status} ${Object.keys(headers).join(" ")}`),
      onData: (chunk) => said.push(`data ${chunk.toString("utf8")}`),
      onEnd: () => said.push("end"),
      onFailure: ({ kind }: ExchangeFailure) => said.push(`failure ${kind}`),
    },
    "api.example.com",
    {
      answered: (status, isAccount) => books.push(`answered ${status}${isAccount ? " account" : ""}`),
      ended: () => books.push("ended"),
    },
  );
  exchange.over({ pause() {}, resume() {}, cancel: (reason) => cancelled.push(reason) });
  return { exchange, said, books, cancelled };
}

test("ProviderExchange gives back what was reserved once, however an exchange ends", () => {
  const endings: Array<(exchange: ProviderExchange) => void> = [
    (exchange) => exchange.onEnd(),
    (exchange) => exchange.onFailure({ phase: "body", kind: "cut", detail: "" }),
    (exchange) => exchange.cancel("caller_left"),
  ];
  for (const end of endings) {
    const { exchange, books } = play();
    exchange.onHead(200, JSON_HEAD);
    end(exchange);
    exchange.cancel("superseded");
    expect(books).toEqual(["answered 200", "ended"]);
  }
});

test("ProviderExchange tells nothing after it was cancelled, also while an error's body is read", () => {
  const { exchange, said, cancelled } = play();
  exchange.onHead(500, JSON_HEAD);
  exchange.cancel("caller_left");
  expect([said, cancelled]).toEqual([[], ["caller_left"]]);
});

test("ProviderExchange holds an error until it is whole, and none of one that is too long", () => {
  const short = play();
  short.exchange.onHead(400, { ...JSON_HEAD, "content-length": "20", "x-ratelimit-remaining-tokens": "1" });
  short.exchange.onData(Buffer.from('{"error":{"message"'));
  expect(short.said).toEqual([]);
  short.exchange.onData(Buffer.from(':"bad field"}}'));
  short.exchange.onEnd();
  expect(short.said).toEqual(["head 400 content-type", 'data {"error":{"message":"bad field"}}', "end"]);
  const long = play();
  long.exchange.onHead(400, JSON_HEAD);
  for (let count = 0; count < 3; count++) long.exchange.onData(Buffer.alloc(32 * 1024, "x"));
  long.exchange.onEnd();
  expect(long.said).toEqual(["head 400 content-type", "data {}", "end"]);
});

test("ProviderExchange ends a stream with an event that is longer than any may be", () => {
  const { exchange, said, books, cancelled } = play();
  exchange.onHead(200, { "content-type": "text/event-stream" });
  exchange.onData(Buffer.alloc(2 * 1024 * 1024, "x"));
  expect(said.at(-1)).toBe("failure protocol");
  expect([books.at(-1), cancelled]).toEqual(["ended", ["protocol"]]);
});
