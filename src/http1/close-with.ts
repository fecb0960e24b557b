import type { Duplex } from "node:stream";

/** Last words to a peer that does not speak HTTP as it must. @param status Code and words. */
export function closeWith(socket: Duplex, status: string): void {
  socket.on("error", () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
