"""The official libraries of OpenAI and Anthropic, unmodified, against a gateway: what they read, as JSON."""

import json
import sys

import anthropic
import openai

gateway, key, model = sys.argv[1:]

TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
ASK = [{"role": "user", "content": "Say hello."}]


def openai_library():
    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0)
    told = {}
    answer = client.chat.completions.create(model=model, messages=ASK)
    told["text"] = answer.choices[0].message.content
    told["finish"] = answer.choices[0].finish_reason
    told["tokens"] = [answer.usage.prompt_tokens, answer.usage.completion_tokens]
    stream = client.chat.completions.create(
        model=model,
        messages=ASK,
        stream=True,
        stream_options={"include_usage": True},
    )
    text, usage = "", None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
    told["streamed"] = text
    told["streamed tokens"] = [usage.prompt_tokens, usage.completion_tokens]
    answer = client.responses.create(model=model, input="Say hello.")
    told["response"] = answer.output_text
    told["response events"] = [
        event.type
        for event in client.responses.create(
            model=model, input="Say hello.", stream=True
        )
    ]
    told["models"] = [entry.id for entry in client.models.list()]
    told["model"] = client.models.retrieve(model).id
    try:
        client.chat.completions.create(model="nobody", messages=ASK)
    except openai.NotFoundError as error:
        told["unknown"] = [error.status_code, error.code]
    try:
        openai.OpenAI(
            base_url=f"{gateway}/v1", api_key="kwk_wrong", max_retries=0
        ).chat.completions.create(model=model, messages=ASK)
    except openai.AuthenticationError as error:
        told["wrong key"] = error.status_code
    return told


def openai_tools():
    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0)
    tools = [
        {
            "type": "function",
            "function": {"name": "get_weather", "parameters": TOOL},
        }
    ]
    answer = client.chat.completions.create(
        model="tools", messages=ASK, tools=tools, tool_choice="required"
    )
    call = answer.choices[0].message.tool_calls[0]
    told = {"call": [call.function.name, json.loads(call.function.arguments)]}
    with client.chat.completions.stream(
        model="tools", messages=ASK, tools=tools
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    told["streamed call"] = [call.function.name, json.loads(call.function.arguments)]
    return told


def anthropic_library():
    client = anthropic.Anthropic(base_url=gateway, api_key=key, max_retries=0)
    told = {}
    answer = client.messages.create(model=model, max_tokens=50, messages=ASK)
    told["text"] = answer.content[0].text
    told["stop"] = answer.stop_reason
    told["tokens"] = [answer.usage.input_tokens, answer.usage.output_tokens]
    with client.messages.stream(model=model, max_tokens=50, messages=ASK) as stream:
        told["streamed"] = "".join(stream.text_stream)
        final = stream.get_final_message()
    told["streamed stop"] = final.stop_reason
    told["models"] = [entry.id for entry in client.models.list()]
    told["model"] = client.models.retrieve(model).id
    try:
        client.messages.create(model="nobody", max_tokens=50, messages=ASK)
    except anthropic.NotFoundError as error:
        told["unknown"] = [error.status_code, error.body["error"]["type"]]
    try:
        anthropic.Anthropic(
            base_url=gateway, api_key="kwk_wrong", max_retries=0
        ).messages.create(model=model, max_tokens=50, messages=ASK)
    except anthropic.AuthenticationError as error:
        told["wrong key"] = error.status_code
    return told


def anthropic_tools():
    client = anthropic.Anthropic(base_url=gateway, api_key=key, max_retries=0)
    tools = [{"name": "get_weather", "input_schema": TOOL}]
    answer = client.messages.create(
        model="tools",
        max_tokens=50,
        messages=ASK,
        tools=tools,
        tool_choice={"type": "any"},
    )
    call = [block for block in answer.content if block.type == "tool_use"][0]
    told = {"call": [call.name, call.input], "stop": answer.stop_reason}
    with client.messages.stream(
        model="tools", max_tokens=50, messages=ASK, tools=tools
    ) as stream:
        final = stream.get_final_message()
    call = [block for block in final.content if block.type == "tool_use"][0]
    told["streamed call"] = [call.name, call.input]
    return told


print(
    json.dumps(
        {
            "openai": openai_library(),
            "openai tools": openai_tools(),
            "anthropic": anthropic_library(),
            "anthropic tools": anthropic_tools(),
        }
    )
)
