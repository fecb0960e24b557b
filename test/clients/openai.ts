import OpenAI from "openai";
import {
  type Ask,
  type Client,
  type ClientKind,
  type Door,
  type Failure,
  MAX_STEPS,
  type Said,
  WEATHER,
} from "./client.ts";

/** The `openai` package, in each of the dialects that it speaks. */
export const OPENAI_CLIENTS: readonly ClientKind[] = [
  { packages: ["openai"], dialect: "OpenAI chat", operation: "openai.chat", connect: chat },
  { packages: ["openai"], dialect: "OpenAI completions", operation: "openai.completions", connect: completions },
  { packages: ["openai"], dialect: "OpenAI responses", operation: "openai.responses", connect: responses },
  { packages: ["openai"], dialect: "OpenAI embeddings", operation: "openai.embeddings", connect: embeddings },
];

function open({ origin, key, fetch }: Door): OpenAI {
  return new OpenAI({ baseURL: `${origin}/v1`, apiKey: key, maxRetries: 0, fetch });
}

/** What `openai` throws. */
export function readOpenAIFailure(error: unknown): Failure {
  if (!(error instanceof OpenAI.APIError)) throw error;
  return { status: error.status ?? null, code: error.code ?? null, message: error.message };
}

const signalOf = ({ signal }: Ask) => (signal === undefined ? {} : { signal });

function chat(door: Door): Client {
  const client = open(door);
  const tools: OpenAI.ChatCompletionTool[] = [
    {
      type: "function",
      function: { name: WEATHER.name, description: WEATHER.description, parameters: WEATHER.schema },
    },
  ];

  async function ask(messages: OpenAI.ChatCompletionMessageParam[], of: Ask, extra: object, isStream: boolean) {
    const body = { model: of.model, max_tokens: of.maxTokens, messages, ...extra };
    return isStream
      ? client.chat.completions
          .stream({ ...body, stream_options: { include_usage: true } }, signalOf(of))
          .finalChatCompletion()
      : client.chat.completions.create({ ...body, stream: false }, signalOf(of));
  }

  return {
    failure: readOpenAIFailure,
    async whole(of) {
      return said(await ask([{ role: "user", content: of.prompt }], of, {}, false));
    },
    async stream(of, onPiece) {
      const stream = client.chat.completions.stream(
        {
          model: of.model,
          max_tokens: of.maxTokens,
          messages: [{ role: "user", content: of.prompt }],
          stream_options: { include_usage: true },
        },
        signalOf(of),
      );
      for await (const chunk of stream) onPiece(chunk.choices[0]?.delta.content ?? "");
      return said(await stream.finalChatCompletion());
    },
    async useTool(of, run, isStream) {
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: of.prompt }];
      for (let step = 0; step < MAX_STEPS; step += 1) {
        const completion = await ask(messages, of, { tools }, isStream);
        const message = completion.choices[0]?.message;
        if (message?.tool_calls === undefined || message.tool_calls.length === 0) return said(completion);
        if (completion.choices[0]?.finish_reason !== "tool_calls") throw new Error("called a tool without saying so");
        messages.push(message);
        for (const call of message.tool_calls) {
          if (call.type !== "function") throw new Error(`a call of type ${call.type}`);
          const content = run(JSON.parse(call.function.arguments));
          messages.push({ role: "tool", tool_call_id: call.id, content });
        }
      }
      throw new Error("calls tools without end");
    },
  };

  function said({ choices: [choice], usage }: OpenAI.ChatCompletion): Said {
    return {
      text: choice?.message.content ?? "",
      finish: choice?.finish_reason ?? null,
      tokensIn: usage?.prompt_tokens ?? null,
      tokensOut: usage?.completion_tokens ?? null,
    };
  }
}

function completions(door: Door): Client {
  const client = open(door);
  const said = (text: string, finish: string | null, usage: OpenAI.CompletionUsage | null | undefined): Said => ({
    text,
    finish,
    tokensIn: usage?.prompt_tokens ?? null,
    tokensOut: usage?.completion_tokens ?? null,
  });
  return {
    failure: readOpenAIFailure,
    async whole(of) {
      const { choices, usage } = await client.completions.create(
        { model: of.model, max_tokens: of.maxTokens, prompt: of.prompt },
        signalOf(of),
      );
      return said(choices[0]?.text ?? "", choices[0]?.finish_reason ?? null, usage);
    },
    async stream(of, onPiece) {
      const stream = await client.completions.create(
        {
          model: of.model,
          max_tokens: of.maxTokens,
          prompt: of.prompt,
          stream: true,
          stream_options: { include_usage: true },
        },
        signalOf(of),
      );
      let text = "";
      let finish: string | null = null;
      let usage: OpenAI.CompletionUsage | null | undefined;
      for await (const chunk of stream) {
        onPiece(chunk.choices[0]?.text ?? "");
        text += chunk.choices[0]?.text ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
        usage = chunk.usage ?? usage;
      }
      return said(text, finish, usage);
    },
  };
}

function responses(door: Door): Client {
  const client = open(door);
  const tools: OpenAI.Responses.FunctionTool[] = [
    {
      type: "function",
      name: WEATHER.name,
      description: WEATHER.description,
      parameters: WEATHER.schema,
      strict: true,
    },
  ];

  function ask(input: OpenAI.Responses.ResponseInput, of: Ask, extra: object, isStream: boolean) {
    const body = { model: of.model, max_output_tokens: of.maxTokens, input, store: false, ...extra };
    return isStream
      ? client.responses.stream(body, signalOf(of)).finalResponse()
      : client.responses.create({ ...body, stream: false }, signalOf(of));
  }

  return {
    failure: readOpenAIFailure,
    async whole(of) {
      return said(await ask([{ role: "user", content: of.prompt }], of, {}, false));
    },
    async stream(of, onPiece) {
      const stream = client.responses.stream(
        { model: of.model, max_output_tokens: of.maxTokens, input: of.prompt, store: false },
        signalOf(of),
      );
      for await (const event of stream) {
        if (event.type === "response.output_text.delta") onPiece(event.delta);
      }
      return said(await stream.finalResponse());
    },
    async useTool(of, run, isStream) {
      const input: OpenAI.Responses.ResponseInput = [{ role: "user", content: of.prompt }];
      for (let step = 0; step < MAX_STEPS; step += 1) {
        const response = await ask(input, of, { tools }, isStream);
        const calls = response.output.flatMap((item): OpenAI.Responses.ResponseFunctionToolCall[] =>
          item.type === "function_call" ? [item] : [],
        );
        if (calls.length === 0) return said(response);
        for (const { type, call_id, name, arguments: given } of calls) {
          input.push({ type, call_id, name, arguments: given });
          input.push({ type: "function_call_output", call_id, output: run(JSON.parse(given)) });
        }
      }
      throw new Error("calls tools without end");
    },
  };

  function said({ output_text, status, usage }: OpenAI.Responses.Response): Said {
    return {
      text: output_text,
      finish: status ?? null,
      tokensIn: usage?.input_tokens ?? null,
      tokensOut: usage?.output_tokens ?? null,
    };
  }
}

function embeddings(door: Door): Client {
  const client = open(door);
  return {
    failure: readOpenAIFailure,
    async embed(model, texts, signal) {
      const { data } = await client.embeddings.create(
        { model, input: [...texts] },
        signal === undefined ? {} : { signal },
      );
      return data.map(({ embedding }) => embedding);
    },
  };
}
