import { InvalidArgumentError, Option } from "commander";
import { RISKS, type Risk } from "../config/refuse-unsafe-listen.ts";

/**
 * `--accept-risk NAME`, once for each. A flag and no setting: what is dangerous should be said where it is started, and read by
 * whoever looks at the service's command line.
 */
export function acceptRiskOption(): Option {
  return new Option(
    "--accept-risk <name>",
    `listen although this is not safe: ${RISKS.join(", ")}; once for each`,
  ).argParser((name: string, before: Risk[] | undefined) => {
    const risk = RISKS.find((one) => one === name);
    if (risk === undefined) throw new InvalidArgumentError(`Known are ${RISKS.join(", ")}.`);
    return [...(before ?? []), risk];
  });
}
