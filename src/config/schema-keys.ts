import { z } from "zod";
import { policyTemplateSchema } from "../access/policy.ts";
import { DAY_MS, duration, GiB, size } from "./schema-values.ts";

/** What keys may be made from, and what models cost: the parts of `postern.yaml` that limits go by. */
export const keyTemplate = policyTemplateSchema.extend({
  expiresIn: duration({ minMs: 1000, min: "1s", maxMs: 3650 * DAY_MS, max: "3650d" })
    .optional()
    .describe("How long a key made from it works."),
});

const modelGlob = z.string().regex(/^[^\p{Cc}\s]{1,256}$/u, {
  error: "must be 1 to 256 characters without spaces or control characters",
});

/** Dearest price of a million tokens, in dollars. */
const MAX_PRICE = 100_000;
const price = z.number().min(0).max(MAX_PRICE);

export const prices = z
  .record(
    modelGlob,
    z.strictObject({
      input: price.describe("Dollars for a million tokens of input."),
      output: price.describe("Dollars for a million tokens of output."),
      cached: price
        .optional()
        .describe("Dollars for a million tokens of input that were cached. Left out: as `input`."),
    }),
  )
  .describe(
    "Prices by public name of the model, or by place (`provider/NAME/MODEL`, `node/NAME/MODEL`), `*` allowed; the first that fits counts. A model without one is free.",
  );

/** `storage.capture`. */
export const capture = z
  .strictObject({
    retention: duration({ minMs: 60_000, min: "1m", maxMs: 90 * DAY_MS, max: "90d" })
      .optional()
      .describe("Longest that anything is kept, whatever a key's policy says."),
    item: size({ minBytes: 1024, maxBytes: 4 * 1024 ** 2, min: "1KiB", max: "4MiB" })
      .optional()
      .describe("Most that is kept of one request, and of one answer."),
    total: size({ minBytes: 1024 ** 2, maxBytes: 1024 * GiB, min: "1MiB", max: "1024GiB" })
      .optional()
      .describe("Sum of all that is kept; beyond it the oldest go."),
  })
  .describe(
    "That prompts and answers may be kept at all, of keys whose policy has `capture`. Left out: never. In files of the data folder, not in the store.",
  );
