"""Google's library, unmodified, does what its users do with it. Tells what it did; whatever is wrong ends it."""

import asyncio
import json
import sys

import pydantic
from google import genai
from google.genai import errors as failures
from google.genai import types

gateway, key, *dialects = sys.argv[1:]
did = []


def client_with(**more):
    http = types.HttpOptions(base_url=gateway, **more)
    return genai.Client(api_key=key, http_options=http)


client = client_with()


class Person(pydantic.BaseModel):
    name: str
    age: int


def ask(model, own=client, **more):
    config = types.GenerateContentConfig(**more)
    return own.models.generate_content(model=model, contents="Hi", config=config)


def raises(kind, call, status=None):
    try:
        call()
    except kind as error:
        assert status is None or error.code == status, error
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def content(dialect):
    model = f"{dialect}-text"
    answer = ask(model, system_instruction="Be brief.", max_output_tokens=50)
    assert answer.text == "Hello there!", answer
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP, answer
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count) == (10, 5), usage
    pieces = list(client.models.generate_content_stream(model=model, contents="Hi"))
    assert "".join(piece.text or "" for piece in pieces) == "Hello thére 😀!", pieces


def conversation(dialect):
    talk = client.chats.create(model=f"{dialect}-text")
    assert talk.send_message("Hi").text == "Hello there!"
    streamed = [piece.text or "" for piece in talk.send_message_stream("And now?")]
    assert "".join(streamed) == "Hello thére 😀!", streamed


async def asynchronously(dialect):
    own = client_with().aio
    call = lambda: own.models.generate_content(model=f"{dialect}-text", contents="Hi")
    for answer in await asyncio.gather(*[call() for _ in range(8)]):
        assert answer.text == "Hello there!", answer
    stream = await own.models.generate_content_stream(
        model=f"{dialect}-text", contents="Hi"
    )
    text = [piece.text or "" async for piece in stream]
    assert "".join(text) == "Hello thére 😀!", text


def called_functions(dialect):
    asked = []

    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Its name.
        """
        asked.append(city)
        return "18 degrees"

    answer = ask(f"{dialect}-tool-loop", tools=[get_weather])
    assert asked == ["Paris"], asked
    assert answer.text == "Hello there!", answer


def parsed(dialect):
    answer = ask(
        f"{dialect}-schema",
        response_mime_type="application/json",
        response_schema=Person,
    )
    assert answer.parsed == Person(name="Ada", age=36), answer


def models():
    names = [entry.name for entry in client.models.list()]
    assert f"models/{dialects[0]}-text" in names, names
    assert "models/forbidden" not in names, names
    one = client.models.get(model=f"{dialects[0]}-text")
    assert one.name == f"models/{dialects[0]}-text", one


def errors():
    raises(failures.ClientError, lambda: ask("nobody"), 404)
    stranger = genai.Client(
        api_key="kwk_wrong", http_options=types.HttpOptions(base_url=gateway)
    )
    raises(failures.ClientError, lambda: ask(f"{dialects[0]}-text", stranger), 401)
    raises(failures.ClientError, lambda: ask("forbidden"), 403)
    error = raises(failures.ClientError, lambda: ask("invalid"), 400)
    assert error.status == "INVALID_ARGUMENT", error
    raises(failures.ServerError, lambda: ask("failing"), 502)
    error = raises(failures.ClientError, lambda: ask("always-busy"), 429)
    assert error.status == "RESOURCE_EXHAUSTED", error
    assert error.response.headers["retry-after"] == "1", error.response.headers
    stream = client.models.generate_content_stream(model="cut", contents="Hi")
    raises(failures.ServerError, lambda: list(stream))


def retries():
    again = types.HttpRetryOptions(attempts=2, initial_delay=0.1)
    answer = ask("busy-once", client_with(retry_options=again))
    assert answer.text == "Hello there!", answer


def timeouts():
    try:
        ask("silent", client_with(timeout=300))
    except Exception as error:
        assert "Timeout" in type(error).__name__, repr(error)
        return
    raise AssertionError("it waited")


for dialect in dialects:
    for feature in [content, conversation, called_functions, parsed]:
        feature(dialect)
        did.append(f"{feature.__name__} {dialect}")
    asyncio.run(asynchronously(dialect))
    did.append(f"asynchronously {dialect}")
for feature in [models, errors, retries, timeouts]:
    feature()
    did.append(feature.__name__)
print(json.dumps(did))
