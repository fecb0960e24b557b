import { createSocket } from "node:dgram";

/** The discard port, where nobody listens: network cards look at the bytes, whatever the port. */
const PORT = 9;
const BROADCAST = "255.255.255.255";
const HEADER = Buffer.alloc(6, 0xff);
/** A card may miss one; they are small. */
const COPIES = 3;

/** What a sleeping network card listens for: six bytes of ones, then its own address sixteen times. */
export function magicPacket(mac: string): Buffer {
  const address = Buffer.from(mac.replaceAll(":", ""), "hex");
  return Buffer.concat([HEADER, ...Array.from({ length: 16 }, () => address)]);
}

/**
 * Sends it to everybody on the network of this machine. There is no answer: whether the machine wakes is seen when it comes.
 *
 * @param to Where to instead; for tests.
 */
export async function sendMagicPacket(mac: string, to = { host: BROADCAST, port: PORT }): Promise<void> {
  const socket = createSocket("udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(0, () => {
        if (to.host === BROADCAST) socket.setBroadcast(true);
        resolve();
      });
    });
    const packet = magicPacket(mac);
    for (let copy = 0; copy < COPIES; copy++) {
      await new Promise<void>((resolve, reject) => {
        socket.send(packet, to.port, to.host, (error) => (error === null ? resolve() : reject(error)));
      });
    }
  } finally {
    socket.close();
  }
}
