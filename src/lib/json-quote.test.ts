import { expect, it } from "vitest";
import { createQuoter } from "./json-quote.ts";

it("a quoter writes what JSON.stringify writes, the first time and later, however many texts there are", () => {
  const quote = createQuoter();
  const texts = [
    "",
    "demo",
    'q"uo\\te',
    "line\nfeed\u0000",
    "日本 \u{1f600}",
    "half \ud83d",
    "\u2028",
    "x".repeat(300),
  ];
  for (let index = 0; index < 5000; index++) texts.push(`text ${index}`);
  for (const text of [...texts, ...texts]) expect(quote(text)).toBe(JSON.stringify(text));
});
