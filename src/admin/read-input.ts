import { z } from "zod";
import { PosternError } from "../errors.ts";

/**
 * Reads a body or query with its schema.
 *
 * @throws PosternError `invalid_input` that names every fault; `detail.faults` holds them with their paths.
 */
export function readInput<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => ({
    path: z.core.toDotPath(issue.path),
    message: issue.message,
  }));
  throw new PosternError("invalid_input", {
    message: `The input is not valid: ${faults.map(({ path, message }) => (path === "" ? message : `"${path}" ${message}`)).join("; ")}`,
    detail: { faults },
  });
}

/** For routes that take no query or no body: anything given is an error. */
export const nothing = z.strictObject({});
