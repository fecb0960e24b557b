/**
 * llama.cpp's binaries for node-llama-cpp, one npm package per platform.
 *
 * They are not in the lockfile that we ship: not every registry mirror has all of them, and `npm ci` refuses a tree of which one
 * package is missing. The one package of this machine is added at install time, with the integrity pinned here. Values are
 * `npm view @node-llama-cpp/NAME@VERSION dist.integrity`; the version is the one of node-llama-cpp in package/package.json.
 */
export interface PlatformPackage {
  name: string;
  /** Subresource integrity of the package's tarball; npm checks it before it unpacks anything. */
  integrity: string;
  /** Size of the download in bytes, for progress. */
  downloadBytes: number;
  /** What to ask llama.cpp for: the CPU, or Metal on Apple silicon, where there is no CPU-only binary. */
  gpu: false | "metal";
}

export const PLATFORM_PACKAGES: Readonly<Record<string, PlatformPackage>> = {
  "linux-x64": {
    name: "@node-llama-cpp/linux-x64",
    integrity: "sha512-Totj6RTDMGo3FoK2yNUaz/oGmZD0olAqTrRluFUWmu0kW2i9TOzHSW0OWCAiGkzRCVX0WsU2CyUQo/W2NYtdPA==",
    downloadBytes: 10_582_760,
    gpu: false,
  },
  "linux-arm64": {
    name: "@node-llama-cpp/linux-arm64",
    integrity: "sha512-eI3anSEGzJiwF2rpMpZVTdHzw47LztbvfvuRzlu/fPO18ROnBOd+75RPUBlV6qENPpmNtbov85+3VODwEwBurg==",
    downloadBytes: 7_213_055,
    gpu: false,
  },
  "darwin-arm64": {
    name: "@node-llama-cpp/mac-arm64-metal",
    integrity: "sha512-6MIDAZV7DXD9R1+jEXWJkFuolni3GATGE6mmuyFYc6ZmtOh9djAy15df0T0AXK3sCmVKL+fQcOAWZezxx4MvQQ==",
    downloadBytes: 4_858_447,
    gpu: "metal",
  },
  "darwin-x64": {
    name: "@node-llama-cpp/mac-x64",
    integrity: "sha512-Q4nyNmbcNiKygBZQZjX+qLk2w3YzoiFpLWsxNURQN7xjyUi2p2rWxjRa7Otg0FrjGf/ri4aQ+X3Uj5Y0zD06eg==",
    downloadBytes: 10_809_280,
    gpu: false,
  },
  "win32-x64": {
    name: "@node-llama-cpp/win-x64",
    integrity: "sha512-JcIpCnra7bAd7JNWA8ehdn2DIRaTMuj+fBC8bw+5rKSNzszWFbuj2XA05c5QHovonDMBLN1ePXE/hcfZtzXoUQ==",
    downloadBytes: 9_787_045,
    gpu: false,
  },
  "win32-arm64": {
    name: "@node-llama-cpp/win-arm64",
    integrity: "sha512-/UDR7Y0B8iKfc/tqxBmWkcgRdZQ9Wrkwod7fYl4J6iZXcTIj286RkHvZSED7VMY67TrcUXVvxJVMNFtmjeYnDg==",
    downloadBytes: 4_606_830,
    gpu: false,
  },
};

/** Platforms on which the embedded engine was actually run. On the others it should work and is said to be untested. */
export const PROVEN_PLATFORMS: readonly string[] = ["linux-x64"];

/** The package for a platform such as `linux-x64` (`process.platform` and `process.arch`), or undefined where there is none. */
export function platformPackage(platform: string = currentPlatform()): PlatformPackage | undefined {
  return Object.hasOwn(PLATFORM_PACKAGES, platform) ? PLATFORM_PACKAGES[platform] : undefined;
}

/** This machine, in the words of the table. */
export function currentPlatform(): string {
  return `${process.platform}-${process.arch}`;
}
