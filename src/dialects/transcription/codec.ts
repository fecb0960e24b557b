import { randomBytes } from "node:crypto";
import type { PosternError } from "../../errors.ts";
import { buildForm } from "../../lib/multipart.ts";
import { bytesFromTokens, tokensFromAudio } from "../../lib/token-estimate.ts";
import type { DialectCodec, RequestFacts } from "../dialect.ts";
import { errorBody } from "../error-body.ts";
import type { FieldPolicy } from "../field-policy.ts";
import { adaptOpenAiError } from "../openai/error.ts";
import { answerType, readTranscript } from "./answer.ts";
import { type AllowedForm, readFields, writeFields } from "./fields.ts";
import { asForm, findOwnBoundary, ownBoundary, scanForm } from "./form.ts";
import { TranscriptStreamTap } from "./stream-tap.ts";

const KEEP_ALIVE = Buffer.from(": ping\n\n");
const BOUNDARY_BYTES = 16;

/**
 * POST /v1/audio/transcriptions. The only dialect whose requests are forms: the caller's is taken apart, and a new one is
 * built of what policy lets through, with a boundary, headers and a file name of our own. Not a byte of the caller's framing
 * goes on (reference: engine-apis §5.2).
 *
 * @param random Makes random bytes. Default Node's.
 */
export function transcriptionCodec(policy: FieldPolicy, random: (size: number) => Buffer = randomBytes): DialectCodec {
  return {
    dialect: "openai-transcriptions",
    readBody: scanForm,
    bodyType: (body) => `multipart/form-data; boundary=${findOwnBoundary(body)}`,
    answerType,
    keepAlive: () => KEEP_ALIVE,
    inspect(scan) {
      return factsOf(readFields(asForm(scan).parts, policy));
    },
    rewrite(scan, facts, { model, forceUsage, engineKind }) {
      const form = readFields(asForm(scan).parts, policy);
      const isAsking = facts.isStream && forceUsage && !facts.wantsUsage && engineKind === "vllm";
      const others = form.fields.filter(({ name }) => !isAsking || name !== USAGE);
      const fields = isAsking ? [...others, { name: USAGE, value: "true" }] : others;
      return buildForm(writeFields({ ...form, fields }, model, engineKind), ownBoundary(random(BOUNDARY_BYTES)));
    },
    tap: (facts, textBytes) => new TranscriptStreamTap(facts, textBytes),
    readAnswer: (body, textBytes, contentType = "") => readTranscript(body, textBytes, contentType),
    adaptError: adaptOpenAiError,
    inBandError(error: PosternError) {
      return Buffer.from(`data: ${errorBody("openai", error)}\n\n`);
    },
  };
}

/** vLLM's word for usage in a stream of these. */
const USAGE = "stream_include_usage";

function factsOf({ model, fields, file, removed }: AllowedForm): RequestFacts {
  const isTrue = (wanted: string) => fields.some(({ name, value }) => name === wanted && value === "true");
  const prompt = fields.find(({ name }) => name === "prompt")?.value ?? "";
  const isStream = isTrue("stream");
  return {
    model,
    isStream,
    wantsUsage: isStream && isTrue(USAGE),
    hasManyChoices: false,
    removedFields: removed,
    clampedFields: [],
    textBytes: bytesFromTokens(tokensFromAudio(file.value.length)) + Buffer.byteLength(prompt),
  };
}
