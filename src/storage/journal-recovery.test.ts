import { expect, test } from "vitest";
import type { RequestOpened } from "../usage/record.ts";
import { settleInterrupted } from "./journal-recovery.ts";

const opened: RequestOpened = {
  id: "r",
  endpointId: "default",
  keyId: "k",
  operation: "openai.chat",
  model: "m",
  workflow: null,
  contingency: null,
  isStream: true,
  openedAtMs: 10,
  requestBytes: 800_000,
};

test("settleInterrupted() estimates a prompt from its bytes as text, a recording from its bytes as sound", () => {
  expect(settleInterrupted(opened, 20)).toMatchObject({ tokensIn: 200_000, tokensReasoning: null, isEstimated: true });
  const recording = { ...opened, operation: "openai.transcriptions" };
  expect(settleInterrupted(recording, 20)).toMatchObject({ tokensIn: 1_000, isEstimated: true });
});
