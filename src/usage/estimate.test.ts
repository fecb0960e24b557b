import { expect, test } from "vitest";
import { estimateUsage } from "./estimate.ts";

test("estimateUsage() takes four bytes for a token, rounds up and says that it guessed", () => {
  expect(estimateUsage(401, 0)).toEqual({
    tokensIn: 101,
    tokensInCached: 0,
    tokensOut: 0,
    tokensReasoning: null,
    isEstimated: true,
  });
  expect(estimateUsage(0, 8)).toMatchObject({ tokensIn: 0, tokensOut: 2 });
});
