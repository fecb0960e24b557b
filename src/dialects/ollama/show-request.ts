import type { BodyScan } from "../../lib/json-scan.ts";
import { readModel } from "./request.ts";

/**
 * The model that POST /api/show asks for: `model`, or `name` as older clients write it. Everything else in the body asks
 * for what is not told (`verbose`) or would change it (`system`, `template`, `options`) and is not looked at.
 *
 * @throws PosternError `model_missing`; `model_not_found` for a name that is too long to be one.
 */
export function readShowRequest(scan: BodyScan): string {
  return readModel(scan, "model", "name");
}
