import { z } from "zod";

/** A cloud of the configuration as it stands now. Money in micro-dollars. */
export const providerView = z.object({
  name: z.string(),
  dialect: z.enum(["openai", "anthropic"]),
  /** How many of its models can be asked for, under whatever names. */
  models: z.int(),
  /** Whether one of them can take a request now. */
  ready: z.boolean(),
  /** What is wrong with it, in words; null: nothing that is known. */
  reason: z.string().nullable(),
  /** This day and this month (UTC). */
  spending: z.array(
    z.object({
      period: z.enum(["day", "month"]),
      spentMicros: z.int(),
      softMicros: z.int().nullable(),
      hardMicros: z.int().nullable(),
    }),
  ),
});
export type ProviderView = z.infer<typeof providerView>;
