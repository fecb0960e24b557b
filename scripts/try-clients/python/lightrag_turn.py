"""LightRAG's Ollama binding: what its server calls for completions and embeddings."""

import asyncio
import os

from lightrag.llm.ollama import _ollama_model_if_cache, ollama_embed

door = {"host": os.environ["POSTERN_ORIGIN"], "api_key": os.environ["POSTERN_KEY"]}
model = os.environ["POSTERN_MODEL"]
greeting = "Hello from the scripted model: grüße, 你好, 👋."


async def main():
    options = {"num_ctx": 32768}
    said = await _ollama_model_if_cache(model, "Greet me.", options=options, **door)
    assert said == greeting, said
    parts = await _ollama_model_if_cache(model, "Greet me.", stream=True, options=options, **door)
    assert "".join([part async for part in parts]) == greeting
    vectors = await ollama_embed.func(["one", "two"], embed_model=os.environ["POSTERN_EMBED_MODEL"], options=options, **door)
    assert len(vectors) == 2


asyncio.run(main())
print("all well")
