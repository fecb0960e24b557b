"""The official anthropic package: a stream, a tool, counting, and its own errors."""

import os

import anthropic

client = anthropic.Anthropic(
    base_url=os.environ["POSTERN_ORIGIN"], api_key=os.environ["POSTERN_KEY"], max_retries=0
)
model = os.environ["POSTERN_MODEL"]
greeting = "Hello from the scripted model: grüße, 你好, 👋."
tools = [
    {
        "name": "get_weather",
        "description": "Tells the weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]

with client.messages.stream(
    model=model, max_tokens=200, messages=[{"role": "user", "content": "Greet me."}]
) as stream:
    assert "".join(stream.text_stream) == greeting
    final = stream.get_final_message()
assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0, final

messages = [{"role": "user", "content": "What is the weather?"}]
first = client.messages.create(model=model, max_tokens=200, messages=messages, tools=tools)
assert first.stop_reason == "tool_use", first
call = next(block for block in first.content if block.type == "tool_use")
assert call.input == {"city": "Zürich"}
messages += [
    {"role": "assistant", "content": first.content},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}]},
]
second = client.messages.create(model=model, max_tokens=200, messages=messages, tools=tools)
assert "21 degrees" in second.content[0].text, second

counted = client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "Greet me."}])
assert counted.input_tokens > 0
assert model in [one.id for one in client.models.list()]
try:
    client.messages.create(model="nobody", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    raise AssertionError("an unknown model answered")
except anthropic.NotFoundError as error:
    assert error.body["error"]["type"] == "not_found_error", error
try:
    client.with_options(api_key="wrong").messages.create(
        model=model, max_tokens=1, messages=[{"role": "user", "content": "x"}]
    )
    raise AssertionError("a wrong key was taken")
except anthropic.AuthenticationError:
    pass
print("all well")
