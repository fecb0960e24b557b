import { createServer } from "node:http";

/**
 * A program that a test has the agent start instead of llama-server: it says on stdout how it was started, and answers the three
 * paths that the adapter reads. Words among its arguments choose what it does wrong.
 *
 * Unlike llama-server it has no model, is ready at the third question, and answers nothing else.
 */
const words = process.argv.slice(2);
const key = process.env["LLAMA_API_KEY"] ?? process.env["VLLM_API_KEY"] ?? "";
const port = Number(words[words.indexOf("--port") + 1]);
const host = words[words.indexOf("--host") + 1] ?? "";
let questions = 0;

process.stdout.write(`started with ${words.join(" ")}; key of ${key.length} characters; ${process.env["EXTRA"] ?? ""}\n`);
process.stderr.write("words on stderr\n");
if (words.includes("ends-at-once")) process.exit(3);
if (words.includes("ignores-sigterm")) process.on("SIGTERM", () => process.stdout.write("not yet\n"));

createServer((request, response) => {
  const isKnown = request.headers.authorization === `Bearer ${key}`;
  const answer = (status: number, body: unknown): void => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
  switch (request.url) {
    case "/health":
      questions += 1;
      if (questions < 3 || words.includes("never-ready")) return answer(503, { error: { message: "Loading model" } });
      return answer(200, { status: "ok" });
    case "/v1/models":
      return answer(200, { object: "list", data: [{ id: "fake.gguf", object: "model", owned_by: "llamacpp" }] });
    case "/props":
      return isKnown ? answer(200, { total_slots: 2, build_info: "b11549-00dc8057" }) : answer(401, {});
    default:
      return answer(404, {});
  }
}).listen(port, host);
