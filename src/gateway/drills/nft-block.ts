import { lookup } from "node:dns/promises";
import { CLOUDFLARE_RANGES } from "../../access/cloudflare-ranges.ts";
import { PosternError } from "../../errors.ts";
import { AddressSet } from "../../lib/cidr.ts";
import { applyBlock, type Blocked, type RunNft, removeBlock, systemNft } from "../../ops/drill/nft.ts";
import type { SystemBlock } from "./system-block.ts";

/**
 * Networks behind whose addresses stand thousands of sites: Cloudflare's own list, Fastly's and the largest ranges of
 * CloudFront. Not every shared address is in it; it is there to stop the usual mistake.
 */
const SHARED_RANGES: readonly string[] = [
  ...CLOUDFLARE_RANGES,
  "151.101.0.0/16",
  "199.232.0.0/16",
  "146.75.0.0/16",
  "2a04:4e40::/32",
  "13.32.0.0/15",
  "13.224.0.0/14",
  "52.84.0.0/15",
  "54.230.0.0/16",
  "99.84.0.0/16",
  "99.86.0.0/16",
  "143.204.0.0/16",
  "2600:9000::/28",
];

const SHARED = AddressSet.of(SHARED_RANGES);

export interface NftBlockOptions {
  run?: RunNft;
  platform?: NodeJS.Platform;
  /** All addresses of a name. */
  resolve?: (host: string) => Promise<string[]>;
}

/** A block by nftables. The names are resolved when it is put up; what they lead to later is not blocked. */
export function nftBlock(options: NftBlockOptions = {}): SystemBlock {
  const { run = systemNft(), platform = process.platform, resolve = resolveAll } = options;
  return {
    async trouble() {
      if (platform !== "linux") return "only Linux has nftables";
      try {
        await run(["list", "tables"], null);
        return null;
      } catch (error) {
        const words = error instanceof Error ? error.message : String(error);
        return `nftables cannot be used (${words}); the gateway needs \`nft\` and the right to change the firewall (CAP_NET_ADMIN)`;
      }
    },
    async block(urls, lengthMs, isForced) {
      const blocked = (await Promise.all(urls.map((url) => placesOf(new URL(url), resolve)))).flat();
      if (blocked.length === 0) {
        throw new PosternError("invalid_input", { message: "The plan's scope names nothing that is reached by URL" });
      }
      const shared = blocked.filter(({ address }) => SHARED.matches(address));
      if (shared.length > 0 && !isForced) {
        throw new PosternError("invalid_input", {
          message: `${shared.map(({ address }) => address).join(", ")} belongs to a content network: a block there would hit other sites too`,
          hint: "Use `block: gateway`, or start the drill with --force.",
        });
      }
      await applyBlock(blocked, lengthMs, run);
      return blocked.map(({ address }) => address);
    },
    lift: () => removeBlock(run),
  };
}

async function placesOf(url: URL, resolve: (host: string) => Promise<string[]>): Promise<Blocked[]> {
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const addresses = await resolve(url.hostname.replace(/^\[|\]$/g, ""));
  return [...new Set(addresses)].map((address) => ({ address, port }));
}

async function resolveAll(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
