import { describe, expect, it } from "vitest";
import { nftBlock } from "./nft-block.ts";

/** An `nft` that remembers what it was told. */
function played(fails = false) {
  const scripts: string[] = [];
  let addresses: string[] = [];
  const run = async (args: readonly string[], script: string | null) => {
    if (fails) throw new Error("nft: Operation not permitted (exit code 1)");
    if (script !== null) {
      scripts.push(script);
      addresses = [...script.matchAll(/([0-9a-f.:]+) \. \d+ timeout/g)].map(([, address = ""]) => address);
      return "";
    }
    if (args.includes("tables")) return addresses.length === 0 ? "" : "table inet postern_drill\n";
    return args.includes("blocked4") ? `elements = { ${addresses.map((one) => `${one} . 443`).join(", ")} }` : "";
  };
  return { run, scripts };
}

const resolve = async (host: string) => (host === "api.example" ? ["192.0.2.1", "2001:db8::1"] : [host]);

describe("nftBlock()", () => {
  it("blocks every address of a name, v4 and v6, at the URL's own port, and lifts it", async () => {
    const { run, scripts } = played();
    const block = nftBlock({ run, resolve, platform: "linux" });
    expect(await block.block(["https://api.example/v1", "http://192.0.2.9:8080"], 60_000, false)).toEqual([
      "192.0.2.1",
      "2001:db8::1",
      "192.0.2.9",
    ]);
    expect(scripts[0]).toContain("2001:db8::1 . 443 timeout 60s");
    expect(scripts[0]).toContain("192.0.2.9 . 8080 timeout 60s");
    await block.lift();
    expect(scripts.at(-1)).toContain("delete table inet postern_drill");
  });

  it("refuses the addresses of content networks unless it is forced", async () => {
    const { run, scripts } = played();
    const block = nftBlock({ run, resolve: async () => ["104.18.6.192"], platform: "linux" });
    await expect(block.block(["https://api.example"], 1_000, false)).rejects.toMatchObject({ code: "invalid_input" });
    expect(scripts).toEqual([]);
    expect(await block.block(["https://api.example"], 1_000, true)).toEqual(["104.18.6.192"]);
  });

  it("refuses a scope that nothing is reached by URL in", async () => {
    await expect(nftBlock({ run: played().run }).block([], 1_000, false)).rejects.toMatchObject({
      code: "invalid_input",
    });
  });

  it("says what is missing where it cannot be used", async () => {
    expect(await nftBlock({ run: played().run, platform: "linux" }).trouble()).toBeNull();
    expect(await nftBlock({ run: played(true).run, platform: "linux" }).trouble()).toContain("CAP_NET_ADMIN");
    expect(await nftBlock({ run: played().run, platform: "darwin" }).trouble()).toContain("Linux");
  });
});
