import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyBlock, type Blocked, listBlocked, removeBlock, renderBlock, systemNft } from "./nft.ts";

// In a network namespace of its own, so that the machine's own rules are never touched. Where the system gives no namespace to
// this user, or has no nftables, the part over the real kernel says so loudly.

const IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"] as const;
const isThere = spawnSync(IN_NAMESPACE[0], [...IN_NAMESPACE.slice(1), "nft", "list", "tables"]).status === 0;
if (!isThere) {
  const line = "*".repeat(80);
  process.stderr.write(
    `\n${line}\nSKIPPED: nftables over a real kernel (Debian: apt-get install nftables).\n${line}\n\n`,
  );
}

const BLOCKED: Blocked[] = [
  { address: "127.0.0.1", port: 9443 },
  { address: "2001:db8::7", port: 443 },
];

describe("renderBlock()", () => {
  it("gives every address a time after which the kernel lets it go by itself, and blocks nothing but its port", () => {
    const script = renderBlock(BLOCKED, 900_000);
    expect(script).toContain("add element inet postern_drill blocked4 { 127.0.0.1 . 9443 timeout 900s }");
    expect(script).toContain("add element inet postern_drill blocked6 { 2001:db8::7 . 443 timeout 900s }");
    expect(script.match(/reject with tcp reset/g)).toHaveLength(2);
    expect(script).not.toMatch(/flush ruleset|policy drop/);
  });

  it("names no element where there is none: an empty set blocks nothing", () => {
    expect(renderBlock([], 1_000)).not.toContain("add element");
  });
});

describe.runIf(isThere)("a block in a real kernel", () => {
  /** A shell that holds the namespace open, and a way in. */
  let holder: ReturnType<typeof spawn>;
  let enter: [string, ...string[]];
  beforeAll(async () => {
    holder = spawn(
      IN_NAMESPACE[0],
      [...IN_NAMESPACE.slice(1), "sh", "-c", "ip link set lo up 2>/dev/null; echo ready; read x"],
      {
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    if (holder.stdout !== null) await once(holder.stdout, "data");
    enter = ["nsenter", `--target=${holder.pid}`, "--user", "--net", "--preserve-credentials"];
  });
  afterAll(() => {
    holder.stdin?.end("\n");
  });
  const nft = () => systemNft([...enter, "nft"]);
  /** What becomes of a connection attempt from inside. */
  const connect = () => {
    const script = `const s=require("net").connect(9443,"127.0.0.1");s.on("connect",()=>{console.log("open");s.destroy()});s.on("error",e=>console.log(e.code))`;
    const server = `require("net").createServer(s=>s.end()).listen(9443,"127.0.0.1",()=>{${script};setTimeout(()=>process.exit(),300)})`;
    return spawnSync(enter[0], [...enter.slice(1), process.execPath, "-e", server], { encoding: "utf8" }).stdout.trim();
  };

  it("is put up, resets connections, and is lifted again", async () => {
    await applyBlock(BLOCKED, 60_000, nft());
    expect((await listBlocked(nft())).toSorted()).toEqual(["127.0.0.1", "2001:db8::7"]);
    // A second one replaces the first.
    await applyBlock(BLOCKED.slice(0, 1), 60_000, nft());
    expect(await listBlocked(nft())).toEqual(["127.0.0.1"]);
    const whileBlocked = connect();
    await removeBlock(nft());
    await removeBlock(nft());
    expect(await listBlocked(nft())).toEqual([]);
    // Without `ip` the loopback of the namespace stays down, and nothing connects either way.
    const afterwards = connect();
    if (afterwards === "open") expect(whileBlocked).toBe("ECONNREFUSED");
    expect(whileBlocked).not.toBe("open");
  });

  it("goes by itself when its time is over, although nobody lifts it", async () => {
    await applyBlock(BLOCKED.slice(0, 1), 1_000, nft());
    await expect.poll(() => listBlocked(nft()), { timeout: 10_000 }).toEqual([]);
    await removeBlock(nft());
  });

  it("that cannot be put up leaves nothing", async () => {
    await expect(applyBlock([{ address: "not-an-address", port: 1 }], 1_000, nft())).rejects.toThrow(/nft/);
    expect(await listBlocked(nft())).toEqual([]);
  });
});
