"""PyPI's `openai` and `langchain-openai`, unmodified: `python_clients.py BASE_URL API_KEY MODEL`. Prints what each saw as JSON."""

import json
import sys

import openai
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

BASE_URL, API_KEY, MODEL = sys.argv[1:4]
MESSAGES = [{"role": "user", "content": "Tell me a story about caches."}]


class Weather(BaseModel):
    city: str
    days: int


def weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"{city}: {days}"


def error_of(call):
    try:
        call()
    except openai.OpenAIError as error:
        return [type(error).__name__, getattr(error, "code", None)]
    return None


def with_openai():
    client = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=8)
    streamed = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    text, usage = "", None
    for chunk in streamed:
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        usage = chunk.usage or usage
    with client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=60_000, stream=True, extra_body={"ignore_eos": True}
    ) as endless:
        first = next(iter(endless))
    parsed = client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Weather)
    kept = client.responses.create(model=MODEL, input="Hello.", max_output_tokens=4)
    further = client.responses.create(
        model=MODEL, input="Go on.", previous_response_id=kept.id, max_output_tokens=4
    )
    stranger = openai.OpenAI(base_url=BASE_URL, api_key="wrong", max_retries=0)
    return {
        "whole": [whole.usage.completion_tokens, whole.choices[0].finish_reason],
        "streamed": [text == whole.choices[0].message.content, usage.completion_tokens],
        "endless": first.object,
        "parsed": parsed.choices[0].message.parsed.model_dump(),
        "continued": further.usage.input_tokens > kept.usage.input_tokens,
        "models": MODEL in [model.id for model in client.models.list()],
        "embeddings": len(client.embeddings.create(model=MODEL, input=["one", "two"]).data),
        "wrong key": error_of(lambda: stranger.chat.completions.create(model=MODEL, messages=MESSAGES)),
        "no model": error_of(lambda: client.chat.completions.create(model="absent", messages=MESSAGES)),
        "no messages": error_of(lambda: client.chat.completions.create(model=MODEL, messages=[])),
    }


def with_langchain():
    chat = ChatOpenAI(base_url=BASE_URL, api_key=API_KEY, model=MODEL, max_tokens=60, max_retries=0)
    prompt = [HumanMessage(content="Tell me a story about caches.")]
    whole = chat.invoke(prompt)
    streamed = "".join(chunk.text for chunk in chat.stream(prompt))
    called = chat.bind_tools([weather], tool_choice="required").invoke(prompt)
    structured = chat.with_structured_output(Weather, method="json_schema").invoke(prompt)
    embeddings = OpenAIEmbeddings(
        base_url=BASE_URL, api_key=API_KEY, model=MODEL, check_embedding_ctx_length=False, max_retries=0
    )
    return {
        "whole": whole.usage_metadata["output_tokens"] > 0,
        "streamed": streamed == whole.text,
        "called": [call["name"] for call in called.tool_calls],
        "structured": structured.model_dump(),
        "embeddings": len(embeddings.embed_documents(["one", "two"])),
    }


print(json.dumps({"openai": with_openai(), "langchain": with_langchain()}))
