import { z } from "zod";

/** What the agent sends its engine process once, over the IPC channel (or stdin, for trying it by hand). Never in argv. */
export const CHILD_CONFIG = z.strictObject({
  apiKey: z.string().min(1),
  engineFolder: z.string().min(1),
  modelPath: z.string().min(1),
  name: z.string().min(1),
  contextLength: z.int().min(1),
  sequences: z.int().min(1).max(64),
  isEndless: z.boolean(),
});

export type ChildConfig = z.infer<typeof CHILD_CONFIG>;

/** What the engine process says. */
export const CHILD_MESSAGE = z.discriminatedUnion("type", [
  z.object({ type: z.literal("listening"), port: z.int().min(1).max(65_535) }),
  z.object({ type: z.literal("loading"), share: z.number() }),
  z.object({ type: z.literal("ready") }),
  z.object({ type: z.literal("failed"), reason: z.string() }),
]);

export type ChildMessage = z.infer<typeof CHILD_MESSAGE>;

/**
 * What must be in the engine process's environment from its very start.
 *
 * With more than one thread in libuv's pool, answers get tokens of each other: node-llama-cpp samples all sequences of a batch
 * at once, each on a pool thread, and the first look at a batch's logits makes llama.cpp sort them in place, without a lock
 * (ggml-org/llama.cpp PR 14853). Seen in 1 to 12 % of parallel answers of the demo model. One thread does one thing at a time,
 * and is faster as well; llama.cpp's own threads are not concerned.
 */
export const REQUIRED_ENVIRONMENT = { UV_THREADPOOL_SIZE: "1" } as const;
