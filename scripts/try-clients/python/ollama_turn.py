"""The official ollama package: a stream, a tool, embeddings, lists, and its own errors."""

import os

import ollama

client = ollama.Client(
    host=os.environ["POSTERN_ORIGIN"], headers={"Authorization": "Bearer " + os.environ["POSTERN_KEY"]}
)
model = os.environ["POSTERN_MODEL"]
greeting = "Hello from the scripted model: grüße, 你好, 👋."
tool = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

parts = list(client.chat(model=model, messages=[{"role": "user", "content": "Greet me."}], stream=True))
assert "".join(part.message.content for part in parts) == greeting
assert parts[-1].done and parts[-1].eval_count is not None, parts[-1]
assert client.generate(model=model, prompt="Greet me.").response == greeting

messages = [{"role": "user", "content": "What is the weather?"}]
first = client.chat(model=model, messages=messages, tools=[tool])
call = first.message.tool_calls[0].function
assert call.name == "get_weather" and call.arguments == {"city": "Zürich"}, call
messages += [first.message, {"role": "tool", "tool_name": call.name, "content": "21 degrees"}]
assert "21 degrees" in client.chat(model=model, messages=messages, tools=[tool]).message.content

assert len(client.embed(model=os.environ["POSTERN_EMBED_MODEL"], input=["one", "two"]).embeddings) == 2
assert any(one.model.removesuffix(":latest") == model for one in client.list().models)
assert client.show(model) is not None
client.ps()
try:
    client.chat(model="nobody", messages=[])
    raise AssertionError("an unknown model answered")
except ollama.ResponseError as error:
    assert error.status_code == 404, error
try:
    ollama.Client(host=os.environ["POSTERN_ORIGIN"]).list()
    raise AssertionError("no key was taken for one")
except ollama.ResponseError as error:
    assert error.status_code == 401, error
print("all well")
