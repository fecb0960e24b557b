import { afterEach, expect, it } from "vitest";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import { OPERATIONS } from "../dialects/operations.ts";

// Open WebUI checked the model of /chat and not that of /generate, /embed and /show (CVE-2026-44563).
const POSTS = OPERATIONS.filter(({ method, id }) => method === "POST" && id !== "openai.transcriptions");

let plane: DataPlane;
afterEach(() => plane.close());

it.each(POSTS.map(({ id, path }) => [id, path] as const))(
  "%s checks the model of the key, as every operation does",
  async (id, path) => {
    plane = await startDataPlane({ optedIn: [id] });
    const [secret] = plane.serve("secret-model", "forge");
    if (secret !== undefined) secret.operations = new Set(OPERATIONS.map((one) => one.id));
    const { key } = plane.addKey(["other*"]);
    const text = {
      messages: [{ role: "user", content: "hi" }],
      prompt: id === "openai.responses" ? undefined : "hi",
      input: "hi",
      query: "hi",
      documents: ["hi"],
    };
    for (const model of ["secret-model", "secret-model:latest", "SECRET-MODEL"]) {
      const body = JSON.stringify({ model, max_tokens: 5, ...text });
      const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Length: ${body.length}\r\n\r\n`;
      const caller = plane.raw(head + body);
      await caller.until("\r\n\r\n");
      expect(caller.status, caller.text).toBe(404);
      expect(caller.text).not.toMatch(/secret-model".*forge/);
      caller.socket.destroy();
    }
    expect(secret?.attempts).toHaveLength(0);
  },
);
