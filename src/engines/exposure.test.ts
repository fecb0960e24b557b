import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { describeExposure, type ExposureSources } from "./exposure.ts";

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/** Lines as a little-endian Linux prints them (proc(5)). Port 11434 is 2CAA. */
function linux(tcp: string, tcp6 = ""): ExposureSources {
  return {
    readText: async (path) => HEAD + (path.endsWith("6") ? tcp6 : tcp),
    ownAddresses: () => [],
    accepts: async () => false,
  };
}

function line(local: string, state = "0A"): string {
  return `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 1234 1 0 100 0 0 10 0\n`;
}

const url = new URL("http://127.0.0.1:11434");

describe("describeExposure()", () => {
  test.each([
    ["loopback", linux(line("0100007F:2CAA")), false],
    ["another address of loopback", linux(line("0200007F:2CAA")), false],
    ["loopback in IPv6", linux("", line("00000000000000000000000001000000:2CAA")), false],
    ["loopback, mapped into IPv6", linux("", line("0000000000000000FFFF00000100007F:2CAA")), false],
    ["everything", linux(line("00000000:2CAA")), true],
    ["everything in IPv6", linux("", line("00000000000000000000000000000000:2CAA")), true],
    ["an address of the LAN besides loopback", linux(line("0100007F:2CAA") + line("0500A8C0:2CAA")), true],
    ["everything, on another port", linux(line("0100007F:2CAA") + line("00000000:0016")), false],
    ["a connection, not a listener", linux(line("0500A8C0:2CAA", "01")), false],
    ["nothing that can be read", linux("rubbish\n\n"), false],
  ])("reads the kernel's table: %s", async (_name, sources, isExposed) => {
    expect((await describeExposure(url, sources)) !== null).toBe(isExposed);
  });

  test("tries the machine's own addresses where there is no such table", async () => {
    const tried: string[] = [];
    const sources = (isOpen: boolean): ExposureSources => ({
      readText: async () => null,
      ownAddresses: () => ["192.168.0.5", "fd00::5"],
      accepts: async (host, port) => {
        tried.push(`${host} ${port}`);
        return isOpen && host === "fd00::5";
      },
    });
    expect(await describeExposure(url, sources(false))).toBeNull();
    expect(await describeExposure(url, sources(true))).toContain("listens on more than loopback");
    expect(tried).toEqual(["192.168.0.5 11434", "fd00::5 11434", "192.168.0.5 11434", "fd00::5 11434"]);
  });

  test("knows that an engine elsewhere is not on loopback", async () => {
    expect(await describeExposure(new URL("http://192.168.0.9:8000"), linux(""))).toContain("not on loopback");
  });

  test.skipIf(process.platform !== "linux")("is right about real listeners of this machine", async () => {
    for (const [host, isExposed] of [
      ["127.0.0.1", false],
      ["0.0.0.0", true],
    ] as const) {
      const server = createServer();
      server.listen(0, host);
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      expect((await describeExposure(new URL(`http://127.0.0.1:${port}`))) !== null).toBe(isExposed);
      server.close();
      await once(server, "close");
    }
  });
});
