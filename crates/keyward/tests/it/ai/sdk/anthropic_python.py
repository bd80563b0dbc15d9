"""Anthropic's library, unmodified, does what its users do with it. Tells what it did; whatever is wrong ends it."""

import asyncio
import json
import sys

import anthropic
import pydantic

gateway, key, *dialects = sys.argv[1:]
did = []
client = anthropic.Anthropic(base_url=gateway, api_key=key, max_retries=0)
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


class Person(pydantic.BaseModel):
    name: str
    age: int


def ask(model, own=client, **more):
    return own.messages.create(model=model, max_tokens=50, messages=ASK, **more)


def raises(kind, call, status=None):
    try:
        call()
    except kind as error:
        assert type(error) is kind, f"{type(error)} is not {kind}"
        assert status is None or error.status_code == status, error
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def messages(dialect):
    answer = ask(f"{dialect}-text", system="Be brief.")
    assert answer.content[0].text == "Hello there!", answer
    assert answer.stop_reason == "end_turn", answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5), answer
    with client.messages.stream(
        model=f"{dialect}-text", max_tokens=50, messages=ASK
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "Hello thére 😀!" == final.content[0].text, text
    assert final.stop_reason == "end_turn" and final.usage.output_tokens == 5, final


async def asynchronously(dialect):
    async with anthropic.AsyncAnthropic(
        base_url=gateway, api_key=key, max_retries=0
    ) as own:
        calls = [ask(f"{dialect}-text", own) for _ in range(8)]
        for answer in await asyncio.gather(*calls):
            assert answer.content[0].text == "Hello there!", answer
        async with own.messages.stream(
            model=f"{dialect}-text", max_tokens=50, messages=ASK
        ) as stream:
            text = [piece async for piece in stream.text_stream]
        assert "".join(text) == "Hello thére 😀!", text


def tools(dialect):
    model = f"{dialect}-tool-loop"
    answer = ask(model, tools=[TOOL])
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use" and call.input == {"city": "Paris"}, answer
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    said = ASK + [
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(
        model=model, max_tokens=50, messages=said, tools=[TOOL]
    )
    assert answer.content[0].text == "Hello there!", answer
    with client.messages.stream(
        model=model, max_tokens=50, messages=ASK, tools=[TOOL]
    ) as stream:
        final = stream.get_final_message()
    [call] = [block for block in final.content if block.type == "tool_use"]
    assert call.input == {"city": "Paris"}, final


def tool_runner(dialect):
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Its name.
        """
        asked.append(city)
        return "18 degrees"

    runner = client.beta.messages.tool_runner(
        model=f"{dialect}-tool-loop",
        max_tokens=50,
        messages=ASK,
        tools=[get_weather],
    )
    final = runner.until_done()
    assert asked == ["Paris"], asked
    assert final.content[0].text == "Hello there!", final


def parsed(dialect):
    answer = client.messages.parse(
        model=f"{dialect}-schema", max_tokens=50, messages=ASK, output_format=Person
    )
    assert answer.parsed_output == Person(name="Ada", age=36), answer


def counting():
    counted = client.messages.count_tokens(model="counting", messages=ASK)
    assert counted.input_tokens == 14, counted


def models():
    names = [entry.id for entry in client.models.list()]
    assert f"{dialects[0]}-text" in names and "forbidden" not in names, names
    assert client.models.retrieve(f"{dialects[0]}-text").id == f"{dialects[0]}-text"


def errors():
    raises(anthropic.NotFoundError, lambda: ask("nobody"), 404)
    stranger = client.with_options(api_key="kwk_wrong")
    raises(anthropic.AuthenticationError, lambda: stranger.models.list(), 401)
    raises(anthropic.PermissionDeniedError, lambda: ask("forbidden"), 403)
    error = raises(anthropic.BadRequestError, lambda: ask("invalid"), 400)
    assert error.body["error"]["type"] == "invalid_request_error", error.body
    raises(anthropic.InternalServerError, lambda: ask("failing"), 502)
    error = raises(anthropic.RateLimitError, lambda: ask("always-busy"), 429)
    assert error.response.headers["retry-after"] == "1", error.response.headers
    assert error.body["error"]["type"] == "rate_limit_error", error.body
    stream = ask("cut", stream=True)
    raises(anthropic.APIStatusError, lambda: list(stream), 200)


def retries():
    answer = ask("busy-once", client.with_options(max_retries=1))
    assert answer.content[0].text == "Hello there!", answer


def timeouts():
    hasty = client.with_options(timeout=0.3)
    raises(anthropic.APITimeoutError, lambda: ask("silent", hasty))


for dialect in dialects:
    for feature in [messages, tools, tool_runner, parsed]:
        feature(dialect)
        did.append(f"{feature.__name__} {dialect}")
    asyncio.run(asynchronously(dialect))
    did.append(f"asynchronously {dialect}")
for feature in [counting, models, errors, retries, timeouts]:
    feature()
    did.append(feature.__name__)
print(json.dumps(did))
