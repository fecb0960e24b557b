"""The official openai package: chat and Responses with a tool, embeddings, and its own errors."""

import json
import os

import openai

client = openai.OpenAI(
    base_url=os.environ["POSTERN_ORIGIN"] + "/v1", api_key=os.environ["POSTERN_KEY"], max_retries=0
)
model = os.environ["POSTERN_MODEL"]
greeting = "Hello from the scripted model: grüße, 你好, 👋."
parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tools = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]

stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Greet me."}],
    stream=True,
    stream_options={"include_usage": True},
)
chunks = list(stream)
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == greeting
assert chunks[-1].usage.completion_tokens > 0

messages = [{"role": "user", "content": "What is the weather?"}]
first = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0]
assert first.finish_reason == "tool_calls", first
call = first.message.tool_calls[0]
assert json.loads(call.function.arguments) == {"city": "Zürich"}
messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
assert "21 degrees" in client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message.content

with client.responses.stream(model=model, input="Greet me.", store=False) as events:
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    final = events.get_final_response()
assert text == final.output_text == greeting, final
assert final.usage.output_tokens > 0
asked = [{"role": "user", "content": "What is the weather?"}]
tool = {"type": "function", "name": "get_weather", "parameters": parameters, "strict": False}
response = client.responses.create(model=model, input=asked, tools=[tool], store=False)
call = next(item for item in response.output if item.type == "function_call")
asked += [call.model_dump(exclude_none=True), {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}]
assert "21 degrees" in client.responses.create(model=model, input=asked, tools=[tool], store=False).output_text

vectors = client.embeddings.create(model=os.environ["POSTERN_EMBED_MODEL"], input=["one", "two"])
assert len(vectors.data) == 2 and len(vectors.data[0].embedding) > 0

try:
    client.chat.completions.create(model="nobody", messages=[])
    raise AssertionError("an unknown model answered")
except openai.NotFoundError as error:
    assert error.code == "model_not_found", error
try:
    client.with_options(api_key="wrong").models.list()
    raise AssertionError("a wrong key was taken")
except openai.AuthenticationError:
    pass
assert model in [one.id for one in client.models.list()]
print("all well")
