import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, test } from "vitest";
import { magicPacket, sendMagicPacket } from "./magic-packet.ts";

test("magicPacket() is six bytes of ones and the address sixteen times", () => {
  const packet = magicPacket("00:11:22:aa:bb:cc");
  expect(packet).toHaveLength(102);
  expect(packet.subarray(0, 6).toString("hex")).toBe("ffffffffffff");
  expect(packet.subarray(6).toString("hex")).toBe("001122aabbcc".repeat(16));
});

test("sendMagicPacket() sends those bytes", async () => {
  const receiver = createSocket("udp4");
  receiver.bind(0, "127.0.0.1");
  await once(receiver, "listening");
  const came = once(receiver, "message") as Promise<[Buffer]>;
  await sendMagicPacket("00:11:22:aa:bb:cc", { host: "127.0.0.1", port: receiver.address().port });
  const [packet] = await came;
  expect(packet.equals(magicPacket("00:11:22:aa:bb:cc"))).toBe(true);
  receiver.close();
});
