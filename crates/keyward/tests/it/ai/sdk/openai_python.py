"""OpenAI's library, unmodified, does what its users do with it. Tells what it did; whatever is wrong ends it."""

import asyncio
import json
import sys

import openai
import pydantic

gateway, key, *dialects = sys.argv[1:]
did = []
client = openai.OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0)
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]


class Person(pydantic.BaseModel):
    name: str
    age: int


class GetWeather(pydantic.BaseModel):
    """The weather in a city"""

    city: str


def raises(kind, call, status=None):
    try:
        call()
    except kind as error:
        assert type(error) is kind, f"{type(error)} is not {kind}"
        assert status is None or error.status_code == status, error
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def chat(dialect):
    model = f"{dialect}-text"
    answer = client.chat.completions.create(model=model, messages=ASK)
    assert answer.choices[0].message.content == "Hello there!", answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 5)
    stream = client.chat.completions.create(
        model=model, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    text, usage = "", None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
    assert text == "Hello thére 😀!", text
    assert usage.prompt_tokens == 10, usage
    with client.chat.completions.stream(model=model, messages=ASK) as events:
        text = "".join(
            event.delta for event in events if event.type == "content.delta"
        )
        final = events.get_final_completion()
    assert text == "Hello thére 😀!" == final.choices[0].message.content, text
    assert final.choices[0].finish_reason == "stop", final


async def asynchronously(dialect):
    model = f"{dialect}-text"
    async with openai.AsyncOpenAI(
        base_url=f"{gateway}/v1", api_key=key, max_retries=0
    ) as own:
        calls = [own.chat.completions.create(model=model, messages=ASK)] * 1
        calls += [
            own.chat.completions.create(model=model, messages=ASK) for _ in range(7)
        ]
        for answer in await asyncio.gather(*calls):
            assert answer.choices[0].message.content == "Hello there!"
        stream = await own.responses.create(model=model, input="Hi", stream=True)
        kinds = [event.type async for event in stream]
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed"


def chat_tools(dialect):
    tools = [openai.pydantic_function_tool(GetWeather, name="get_weather")]
    model = f"{dialect}-tool-loop"
    messages = list(ASK)
    answer = client.chat.completions.parse(model=model, messages=messages, tools=tools)
    [call] = answer.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Paris"), call
    messages.append(answer.choices[0].message)
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "18 degrees"})
    answer = client.chat.completions.create(model=model, messages=messages, tools=tools)
    assert answer.choices[0].message.content == "Hello there!", answer
    with client.chat.completions.stream(
        model=model, messages=ASK, tools=tools
    ) as events:
        final = events.get_final_completion()
    [call] = final.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}, call


def parsed(dialect):
    model = f"{dialect}-schema"
    answer = client.chat.completions.parse(
        model=model, messages=ASK, response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36), answer
    answer = client.responses.parse(model=model, input="Who?", text_format=Person)
    assert answer.output_parsed == Person(name="Ada", age=36), answer


def responses(dialect):
    model = f"{dialect}-text"
    answer = client.responses.create(model=model, input="Hi", instructions="Be brief.")
    assert answer.output_text == "Hello there!", answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5), answer
    with client.responses.stream(model=model, input="Hi") as events:
        text = "".join(
            event.delta
            for event in events
            if event.type == "response.output_text.delta"
        )
        final = events.get_final_response()
    assert text == "Hello thére 😀!" == final.output_text, text


def responses_tools(dialect):
    model = f"{dialect}-tool-loop"
    tools = [
        {
            "type": "function",
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": GetWeather.model_json_schema(),
            "strict": False,
        }
    ]
    said = list(ASK)
    answer = client.responses.parse(model=model, input=said, tools=tools)
    [call] = [item for item in answer.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Paris"}, call
    said += [item.model_dump(exclude_unset=True) for item in answer.output]
    said.append(
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": "18 degrees",
        }
    )
    answer = client.responses.create(model=model, input=said, tools=tools)
    assert answer.output_text == "Hello there!", answer


def embeddings():
    answer = client.embeddings.create(model="embedding", input=["one", "two"])
    assert [entry.embedding for entry in answer.data] == [[0.5, -0.25], [1.0, 0.0]]
    assert answer.usage.prompt_tokens == 3, answer


def models():
    names = [entry.id for entry in client.models.list()]
    assert f"{dialects[0]}-text" in names and "forbidden" not in names, names
    assert client.models.retrieve(f"{dialects[0]}-text").id == f"{dialects[0]}-text"


def errors():
    def ask(model, **more):
        return lambda: client.chat.completions.create(
            model=model, messages=ASK, **more
        )

    assert raises(openai.NotFoundError, ask("nobody"), 404).code == "model_not_found"
    stranger = client.with_options(api_key="kwk_wrong")
    raises(openai.AuthenticationError, lambda: stranger.models.list(), 401)
    raises(openai.PermissionDeniedError, ask("forbidden"), 403)
    raises(openai.BadRequestError, ask("invalid"), 400)
    raises(openai.InternalServerError, ask("failing"), 502)
    error = raises(openai.RateLimitError, ask("always-busy"), 429)
    assert error.response.headers["retry-after"] == "1", error.response.headers
    error = raises(openai.BadRequestError, ask("anthropic-text", seed=7), 400)
    assert error.code == "unsupported_seed", error
    limited = openai.OpenAI(
        base_url=f"{gateway}/limited/v1", api_key=key, max_retries=0
    )
    call = lambda: limited.chat.completions.create(
        model="anthropic-text", messages=ASK
    )
    call()
    error = raises(openai.RateLimitError, call, 429)
    assert int(error.response.headers["retry-after"]) > 1, error.response.headers
    stream = client.chat.completions.create(model="cut", messages=ASK, stream=True)
    raises(openai.APIError, lambda: list(stream))


def retries():
    answer = client.with_options(max_retries=1).chat.completions.create(
        model="busy-once", messages=ASK
    )
    assert answer.choices[0].message.content == "Hello there!"


def timeouts():
    hasty = client.with_options(timeout=0.3)
    call = lambda: hasty.chat.completions.create(model="silent", messages=ASK)
    raises(openai.APITimeoutError, call)


for dialect in dialects:
    for feature in [chat, chat_tools, parsed, responses, responses_tools]:
        feature(dialect)
        did.append(f"{feature.__name__} {dialect}")
    asyncio.run(asynchronously(dialect))
    did.append(f"asynchronously {dialect}")
for feature in [embeddings, models, errors, retries, timeouts]:
    feature()
    did.append(feature.__name__)
print(json.dumps(did))
