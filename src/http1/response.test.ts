import { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { HttpResponse, type ResponseHost, type ResponseOwner } from "./response.ts";

/** As in response.ts. */
const MAX_JOINED_BYTES = 16 * 1024;
const CLOSING = "Date: today\r\nConnection: close\r\n";
const KEEPING = "Date: today\r\nConnection: keep-alive\r\n";

type Written = (error?: Error | null) => void;

/** A socket that leads nowhere. Each entry of `pieces` is what the real one would hand to the kernel at once. */
class RecordedSocket extends Socket {
  readonly pieces: string[][] = [];
  /** Nothing that is written leaves, until `release`. */
  isHeld = false;
  #waiting: Written[] = [];

  get text(): string {
    return this.pieces.flat().join("");
  }

  override _write(chunk: string | Buffer, encoding: BufferEncoding, done: Written): void {
    this.#piece([{ chunk, encoding }], done);
  }

  override _writev(chunks: Array<{ chunk: string | Buffer; encoding: BufferEncoding }>, done: Written): void {
    this.#piece(chunks, done);
  }

  release(): void {
    this.isHeld = false;
    for (const done of this.#waiting.splice(0)) done();
  }

  #piece(chunks: ReadonlyArray<{ chunk: string | Buffer; encoding: BufferEncoding }>, done: Written): void {
    this.pieces.push(
      chunks.map(({ chunk, encoding }) =>
        (typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk).toString("latin1"),
      ),
    );
    if (this.isHeld) this.#waiting.push(done);
    else done();
  }
}

class Connection implements ResponseHost {
  readonly socket = new RecordedSocket();
  answers = 0;
  closingLines(keepsAlive: boolean): string {
    return keepsAlive ? KEEPING : CLOSING;
  }
  answered(): void {
    this.answers += 1;
  }
}

class Owner implements ResponseOwner {
  drains = 0;
  closes = 0;
  onDrain(): void {
    this.drains += 1;
  }
  onClose(): void {
    this.closes += 1;
  }
}

function begin({ isHead = false, keepsAlive = true } = {}) {
  const connection = new Connection();
  const response = new HttpResponse(connection, isHead, keepsAlive);
  const owner = new Owner();
  response.owner = owner;
  return { connection, socket: connection.socket, response, owner };
}

describe("HttpResponse head", () => {
  test("has status, headers, edge headers and what the connection says, in this order", () => {
    const { socket, response } = begin();
    response.edgeHeaders = ["X-Edge", "1", "X-Other", "2"];
    response.writeHead(200, ["Content-Length", "2", "Content-Type", "text/plain"]).end(Buffer.from("hi"));
    const fields = "Content-Length: 2\r\nContent-Type: text/plain\r\nX-Edge: 1\r\nX-Other: 2\r\n";
    expect(socket.text).toBe(`HTTP/1.1 200 OK\r\n${fields}${KEEPING}\r\nhi`);
  });

  test.each([
    [404, "404 Not Found"],
    [431, "431 Request Header Fields Too Large"],
    [599, "599 Unknown"],
  ])("says the words of status %i", (status, words) => {
    const { socket, response } = begin();
    response.writeHead(status, []).end();
    expect(socket.text).toBe(`HTTP/1.1 ${words}\r\n${KEEPING}\r\n`);
  });

  test("says that its body comes in chunks", () => {
    const { socket, response } = begin();
    response.writeHead(200, ["X-A", "b"], true).end(Buffer.from("0\r\n\r\n"));
    expect(socket.text).toBe(`HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n${KEEPING}\r\n0\r\n\r\n`);
  });

  test.each([
    ["before the head is set", (one: HttpResponse) => one, false],
    ["after it is set", (one: HttpResponse) => one.writeHead(200, []), true],
  ])("shouldKeepAlive changed %s: the head says what it was when it was set", (_when, prepare, keeps) => {
    const { socket, response } = begin();
    prepare(response);
    response.shouldKeepAlive = false;
    if (!response.headersSent) response.writeHead(200, []);
    response.end();
    expect(socket.text).toContain(keeps ? KEEPING : CLOSING);
  });

  test("leaves with the first bytes, not before", () => {
    const { socket, response } = begin();
    response.writeHead(200, [], true);
    expect(response.headersSent).toBe(true);
    expect(socket.pieces).toEqual([]);
    response.write(Buffer.from("a"));
    response.write(Buffer.from("b"));
    expect(socket.pieces).toEqual([[`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${KEEPING}\r\n`, "a"], ["b"]]);
  });

  test("leaves by itself with flush(), once", () => {
    const { socket, response } = begin();
    response.flush();
    expect(socket.pieces).toEqual([]);
    response.writeHead(200, []).flush();
    response.flush();
    expect(socket.pieces).toEqual([[`HTTP/1.1 200 OK\r\n${KEEPING}\r\n`]]);
    response.end(Buffer.from("a"));
    expect(socket.pieces.slice(1)).toEqual([["a"]]);
  });

  test("is one: a second is refused, and changes nothing", () => {
    const { socket, response } = begin();
    response.writeHead(200, []);
    expect(() => response.writeHead(500, [])).toThrow("one head");
    response.end();
    expect(socket.text).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(() => response.writeHead(500, [])).toThrow("one head");
  });

  test.each(["\r", "\n", "\0", "\r\nX: y", "a\x01b", "\x7f", "\u0100", "\u2028", "a\n"])(
    "refuses the value %j, sets nothing, and takes another head then",
    (value) => {
      for (const set of [
        (one: HttpResponse) => one.writeHead(200, ["X-A", "fine", "X-B", value]),
        (one: HttpResponse) => {
          one.edgeHeaders = ["X-Edge", value];
          one.writeHead(200, []);
        },
      ]) {
        const { socket, response, connection } = begin();
        expect(() => set(response)).toThrow(TypeError);
        expect(response.headersSent).toBe(false);
        response.flush();
        expect(socket.pieces).toEqual([]);
        response.edgeHeaders = [];
        response.writeHead(500, []).end();
        expect(socket.text).toBe(`HTTP/1.1 500 Internal Server Error\r\n${KEEPING}\r\n`);
        expect(connection.answers).toBe(1);
      }
    },
  );

  test("does not repeat a refused value in its error", () => {
    expect(() => begin().response.writeHead(200, ["X-A", "secret\n"])).toThrow(
      /^X-A has a value that no header may have$/,
    );
  });

  test("takes tabs, and bytes beyond ASCII as they are", () => {
    const { socket, response } = begin();
    response.writeHead(200, ["X-A", "a\tb", "X-B", "caf\xe9"]).end();
    expect(socket.text).toContain("X-A: a\tb\r\nX-B: caf\xe9\r\n");
  });
});

describe("HttpResponse body", () => {
  test.each([0, 1, MAX_JOINED_BYTES])("of %i bytes leaves with its head as one text in one write", (bytes) => {
    const { socket, response, connection } = begin();
    response.writeHead(200, ["Content-Length", String(bytes)]).end(Buffer.alloc(bytes, 0xff));
    expect(socket.pieces).toHaveLength(1);
    expect(socket.pieces[0]).toHaveLength(1);
    expect(socket.text.endsWith(`\r\n\r\n${"\xff".repeat(bytes)}`)).toBe(true);
    expect(connection.answers).toBe(1);
  });

  test("that is larger leaves uncopied, together with its head", () => {
    const { socket, response } = begin();
    const body = Buffer.alloc(MAX_JOINED_BYTES + 1, 0x80);
    response.writeHead(200, ["Content-Length", String(body.length)]).end(body);
    expect(socket.pieces).toEqual([[expect.stringMatching(/^HTTP/), body.toString("latin1")]]);
  });

  test.each([1, MAX_JOINED_BYTES + 1])("of HEAD, of %i bytes, is not sent; its head is", (bytes) => {
    const { socket, response, connection } = begin({ isHead: true });
    response.writeHead(200, ["Content-Length", String(bytes)]).end(Buffer.alloc(bytes, "x"));
    expect(socket.text).toBe(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n${KEEPING}\r\n`);
    expect(connection.answers).toBe(1);
  });

  test("of HEAD is not sent in parts either", async () => {
    const { socket, response } = begin({ isHead: true });
    response.writeHead(200, [], true);
    await new Promise<void>((resolve) => expect(response.write(Buffer.from("a"), resolve)).toBe(true));
    response.write(Buffer.from("b"));
    response.end(Buffer.from("c"));
    expect(socket.text).toBe(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${KEEPING}\r\n`);
  });

  test("part of no bytes sends the head and calls back", async () => {
    const { socket, response } = begin();
    response.writeHead(200, []);
    await new Promise<void>((resolve) => response.write(Buffer.alloc(0), resolve));
    expect(socket.pieces).toEqual([[`HTTP/1.1 200 OK\r\n${KEEPING}\r\n`]]);
  });

  test("part calls back once it has left, not before", async () => {
    const { socket, response } = begin();
    socket.isHeld = true;
    let hasLeft = false;
    response.writeHead(200, []);
    const left = new Promise<void>((resolve) => {
      response.write(Buffer.from("a"), () => {
        hasLeft = true;
        resolve();
      });
    });
    await new Promise(setImmediate);
    expect(hasLeft).toBe(false);
    socket.release();
    await left;
  });

  test("write() says no once the socket's buffer is full, and yes again after", async () => {
    const { socket, response } = begin();
    socket.isHeld = true;
    response.writeHead(200, [], true);
    expect(response.write(Buffer.from("a"))).toBe(true);
    expect(response.write(Buffer.alloc(socket.writableHighWaterMark))).toBe(false);
    expect(response.write(Buffer.alloc(0))).toBe(false);
    const drained = new Promise((resolve) => socket.once("drain", resolve));
    socket.release();
    await drained;
    expect(response.write(Buffer.from("b"))).toBe(true);
  });

  test("writeContinue() leaves before the head, and not as one", () => {
    const { socket, response } = begin();
    response.writeContinue();
    expect(response.headersSent).toBe(false);
    response.writeHead(200, []).end();
    expect(socket.text).toBe(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n${KEEPING}\r\n`);
  });
});

describe("HttpResponse end", () => {
  test("is told to the connection once, after the last byte was handed over", () => {
    const { socket, response, connection } = begin();
    let written = "";
    connection.answered = () => {
      written += `${response.isEnded} ${socket.text.slice(-2)};`;
    };
    response.writeHead(200, []).end(Buffer.from("hi"));
    response.end(Buffer.from("again"));
    response.end();
    expect(written).toBe("true hi;");
  });

  test("is the end: nothing is written after it, and who writes is called back", async () => {
    const { socket, response, connection } = begin();
    response.writeHead(200, []).end();
    const before = socket.text;
    await new Promise<void>((resolve) => expect(response.write(Buffer.from("a"), resolve)).toBe(true));
    response.flush();
    response.end(Buffer.from("b"));
    expect(socket.text).toBe(before);
    expect(connection.answers).toBe(1);
  });

  test("frees the owner, who is not told that the connection closes", () => {
    const { response, owner } = begin();
    response.writeHead(200, []).end();
    expect(response.owner).toBeNull();
    response.gone();
    expect(owner.closes).toBe(0);
    expect(response.destroyed).toBe(true);
  });
});

describe("HttpResponse whose connection is gone", () => {
  test.each([
    ["before the head", () => {}],
    ["while the head waits", (one: HttpResponse) => void one.writeHead(200, [], true)],
    ["in the body", (one: HttpResponse) => void one.writeHead(200, [], true).write(Buffer.from("a"))],
  ])("%s: the owner is told once, nothing is written any more", async (_when, prepare) => {
    const { socket, response, owner, connection } = begin();
    prepare(response);
    const before = socket.text;
    response.gone();
    response.gone();
    expect(owner.closes).toBe(1);
    expect(response.owner).toBeNull();
    response.writeContinue();
    if (!response.headersSent) response.writeHead(200, []);
    response.flush();
    await new Promise<void>((resolve) => expect(response.write(Buffer.from("b"), resolve)).toBe(true));
    response.end(Buffer.from("c"));
    expect(socket.text).toBe(before);
    expect(connection.answers).toBe(0);
  });

  test("lets its owner end it when told, without an effect", () => {
    const { socket, response, connection, owner } = begin();
    owner.onClose = () => {
      owner.closes += 1;
      response.writeHead(500, []).end(Buffer.from("x"));
      response.gone();
    };
    response.gone();
    expect(owner.closes).toBe(1);
    expect(socket.pieces).toEqual([]);
    expect(connection.answers).toBe(0);
  });

  test("destroy() closes the socket, and tells nobody by itself", () => {
    const { socket, response, owner } = begin();
    response.writeHead(200, [], true).write(Buffer.from("a"));
    response.destroy();
    expect(socket.destroyed).toBe(true);
    expect(owner.closes).toBe(0);
  });
});
