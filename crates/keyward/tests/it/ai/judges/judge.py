"""The vendors' own libraries ask a gateway for every cell of the grid, and judge what comes.

Reads the cells as JSON, and writes what each of them gave. Every answer and every event of a stream is held against the
vendor's own type, strictly: all that it requires is there, nothing has another type, and what it does not know is told.
"""

import inspect
import json
import sys
import urllib.error
import urllib.request
from functools import cache

import anthropic
import openai
import pydantic
from anthropic.types import Message, RawMessageStreamEvent
from google import genai
from google.genai import errors, types
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

work = json.load(sys.stdin)
gateway = work["gateway"]

openai_client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="unused", max_retries=0)
anthropic_client = anthropic.Anthropic(
    base_url=gateway, api_key="unused", max_retries=0
)
gemini_client = genai.Client(
    api_key="unused", http_options=types.HttpOptions(base_url=gateway)
)

STOPS = {
    "stop": "end",
    "completed": "end",
    "end_turn": "end",
    "STOP": "end",
    "length": "length",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "tool_calls": "tools",
    "tool_use": "tools",
}


@cache
def adapter(kind):
    return pydantic.TypeAdapter(kind)


def strictly(kind, thing):
    """Holds what came against the vendor's type: the libraries themselves take almost anything."""
    adapter(kind).validate_json(thing.to_json(exclude_unset=True), strict=True)
    return unknown(thing)


def unknown(thing, path=""):
    """Where there are members that the vendor's type does not have."""
    found = set()
    if isinstance(thing, pydantic.BaseModel):
        for name in thing.model_extra or {}:
            found.add(f"{path}/{name}")
        for name in type(thing).model_fields:
            found |= unknown(getattr(thing, name, None), f"{path}/{name}")
    elif isinstance(thing, list):
        for entry in thing:
            found |= unknown(entry, path)
    return found


class Told:
    """What an answer says, whoever's type it has."""

    def __init__(self):
        self.text, self.thought, self.calls = "", "", []
        self.stop, self.usage, self.probabilities = None, None, []
        self.unknown, self.events = set(), 0
        self.left_out = None

    def as_json(self):
        return {
            "text": self.text,
            "thought": self.thought,
            "calls": [[name, json.loads(text)] for name, text in self.calls],
            "stop": STOPS.get(self.stop, self.stop),
            "usage": self.usage,
            "probabilities": self.probabilities,
            "unknown": sorted(self.unknown),
            "events": self.events,
            "left_out": self.left_out,
        }


def known_to(method, body):
    """The body as the library takes it: what its version has no argument for goes in as it is."""
    known = inspect.signature(method).parameters
    asked = {name: value for name, value in body.items() if name in known}
    rest = {name: value for name, value in body.items() if name not in known}
    return {**asked, "extra_body": rest} if rest else asked


def openai_usage(usage):
    cached = usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens
    return [usage.prompt_tokens, cached or 0, usage.completion_tokens]


def openai_chat(cell, told):
    body = cell["request"]
    raw = openai_client.chat.completions.with_raw_response.create(**body)
    told.left_out = raw.headers.get("keyward-left-out")
    if not body.get("stream"):
        answer = raw.parse()
        told.unknown |= strictly(ChatCompletion, answer)
        [choice] = answer.choices
        told.text = choice.message.content or ""
        told.thought = getattr(choice.message, "reasoning_content", "") or ""
        for call in choice.message.tool_calls or []:
            told.calls.append([call.function.name, call.function.arguments])
        told.stop = choice.finish_reason
        told.usage = openai_usage(answer.usage)
        if choice.logprobs:
            told.probabilities = [
                [one.token, one.logprob] for one in choice.logprobs.content
            ]
        return
    for chunk in raw.parse():
        told.events += 1
        told.unknown |= strictly(ChatCompletionChunk, chunk)
        if chunk.usage:
            told.usage = openai_usage(chunk.usage)
        for choice in chunk.choices:
            told.text += choice.delta.content or ""
            told.thought += getattr(choice.delta, "reasoning_content", "") or ""
            for call in choice.delta.tool_calls or []:
                if call.index == len(told.calls):
                    told.calls.append([call.function.name, ""])
                told.calls[call.index][1] += call.function.arguments or ""
            told.stop = choice.finish_reason or told.stop
            if choice.logprobs:
                told.probabilities += [
                    [one.token, one.logprob] for one in choice.logprobs.content
                ]


def response_said(answer, told):
    for item in answer.output:
        if item.type == "message":
            for part in item.content:
                told.text += part.text
                told.probabilities += [
                    [one.token, one.logprob] for one in part.logprobs or []
                ]
        elif item.type == "reasoning":
            told.thought += "".join(part.text for part in item.summary)
        elif item.type == "function_call":
            told.calls.append([item.name, item.arguments])
    told.stop = answer.status
    if answer.incomplete_details:
        told.stop = answer.incomplete_details.reason
    if answer.usage:
        told.usage = [
            answer.usage.input_tokens,
            answer.usage.input_tokens_details.cached_tokens,
            answer.usage.output_tokens,
        ]


def openai_responses(cell, told):
    body = cell["request"]
    raw = openai_client.responses.with_raw_response.create(**body)
    told.left_out = raw.headers.get("keyward-left-out")
    if not body.get("stream"):
        answer = raw.parse()
        told.unknown |= strictly(Response, answer)
        response_said(answer, told)
        return
    pieces, number, final = Told(), 0, None
    for event in raw.parse():
        told.events += 1
        told.unknown |= strictly(ResponseStreamEvent, event)
        assert event.sequence_number == number, f"{event.type}: {number} is missing"
        number += 1
        assert final is None, f"{event.type} behind the end"
        match event.type:
            case "response.output_text.delta":
                pieces.text += event.delta
                pieces.probabilities += [
                    [one.token, one.logprob] for one in event.logprobs or []
                ]
            case "response.reasoning_summary_text.delta":
                pieces.thought += event.delta
            case "response.output_item.added":
                if event.item.type == "function_call":
                    pieces.calls.append([event.item.name, ""])
            case "response.function_call_arguments.delta":
                pieces.calls[-1][1] += event.delta
            case "response.completed" | "response.incomplete":
                final = event.response
            case "response.failed":
                told.text = pieces.text
                raise Failed(event.response.error)
    response_said(final, told)
    told.probabilities = pieces.probabilities
    for name in ["text", "thought", "calls"]:
        whole, streamed = getattr(told, name), getattr(pieces, name)
        assert whole == streamed, f"{name}: {streamed!r} was streamed of {whole!r}"


class Failed(Exception):
    """The vendor's library hands this over as an event."""

    def __init__(self, error):
        super().__init__(error.message)
        self.code = error.code


def anthropic_usage(usage):
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    return [usage.input_tokens + cached + written, cached, usage.output_tokens]


def anthropic_messages(cell, told):
    body = cell["request"]
    asked = known_to(anthropic_client.messages.create, body)
    raw = anthropic_client.messages.with_raw_response.create(**asked)
    told.left_out = raw.headers.get("keyward-left-out")
    if not body.get("stream"):
        answer = raw.parse()
        told.unknown |= strictly(Message, answer)
        for block in answer.content:
            if block.type == "text":
                told.text += block.text
            elif block.type == "thinking":
                told.thought += block.thinking
            elif block.type == "tool_use":
                told.calls.append([block.name, json.dumps(block.input)])
        told.stop = answer.stop_reason
        told.usage = anthropic_usage(answer.usage)
        return
    begun, open_block = None, None
    for event in raw.parse():
        told.events += 1
        told.unknown |= strictly(RawMessageStreamEvent, event)
        match event.type:
            case "message_start":
                begun = event.message.usage
            case "content_block_start":
                assert open_block is None, "a block begins within another"
                open_block = event.content_block
                if open_block.type == "tool_use":
                    told.calls.append([open_block.name, ""])
            case "content_block_delta":
                match event.delta.type:
                    case "text_delta":
                        told.text += event.delta.text
                    case "thinking_delta":
                        told.thought += event.delta.thinking
                    case "input_json_delta":
                        told.calls[-1][1] += event.delta.partial_json
            case "content_block_stop":
                open_block = None
            case "message_delta":
                told.stop = event.delta.stop_reason
                usage = event.usage
                for name in type(usage).model_fields:
                    if getattr(usage, name) is None and hasattr(begun, name):
                        setattr(usage, name, getattr(begun, name))
                told.usage = anthropic_usage(usage)


def gemini_said(answer, told):
    [candidate] = answer.candidates
    for part in (candidate.content and candidate.content.parts) or []:
        if part.function_call:
            call = part.function_call
            told.calls.append([call.name, json.dumps(call.args)])
        elif part.thought:
            told.thought += part.text or ""
        else:
            told.text += part.text or ""
    if candidate.finish_reason:
        told.stop = candidate.finish_reason.value
    if candidate.logprobs_result:
        told.probabilities += [
            [one.token, one.log_probability]
            for one in candidate.logprobs_result.chosen_candidates
        ]
    usage = answer.usage_metadata
    if usage:
        told.usage = [
            usage.prompt_token_count,
            usage.cached_content_token_count or 0,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        ]
    if told.calls and told.stop == "STOP":
        told.stop = "tool_calls"


def gemini(cell, told):
    body, model = cell["request"], cell["model"]
    contents = [types.Content.model_validate(content) for content in body["contents"]]
    config = dict(body.get("generationConfig", {}))
    for name in ["systemInstruction", "tools", "toolConfig"]:
        if name in body:
            config[name] = body[name]
    asked = {
        "model": model,
        "contents": contents,
        "config": types.GenerateContentConfig.model_validate(config),
    }
    # The library takes what it knows from an answer and drops the rest: its type is stricter than it is.
    method = "streamGenerateContent?alt=sse" if cell["stream"] else "generateContent"
    for data, headers in posted(f"/v1/models/{model}:{method}", body):
        told.left_out = headers.get("keyward-left-out")
        if '"error"' not in data:
            types.GenerateContentResponse.model_validate_json(data)
    if not cell["stream"]:
        answer = gemini_client.models.generate_content(**asked)
        gemini_said(answer, told)
        return
    for piece in gemini_client.models.generate_content_stream(**asked):
        told.events += 1
        gemini_said(piece, told)


def posted(path, body):
    """What is answered, as it came: the events of a stream, or the one answer. Nothing of a refusal."""
    request = urllib.request.Request(
        gateway + path,
        json.dumps(body).encode(),
        {"content-type": "application/json", "x-goog-api-key": "unused"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError:
        return []
    if "alt=sse" not in path:
        return [(text, answer.headers)]
    events = [event for event in text.split("\n\n") if event]
    return [(event.removeprefix("data: "), answer.headers) for event in events]


FORMS = {
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "anthropic": anthropic_messages,
    "gemini": gemini,
}


def judged(cell):
    told = Told()
    try:
        FORMS[cell["form"]](cell, told)
    except (openai.APIError, anthropic.APIError, errors.APIError, Failed) as error:
        status = getattr(error, "status_code", getattr(error, "code", None))
        response = getattr(error, "response", None)
        headers = response.headers if response is not None else {}
        return {
            "error": type(error).__name__,
            "status": status,
            "code": headers.get("keyward-code"),
            "own code": getattr(error, "code", None),
            "message": getattr(error, "message", None) or str(error),
            "text": told.text,
        }
    return told.as_json()


outcomes = []
for cell in work["cells"]:
    try:
        outcomes.append(judged(cell))
    except Exception as error:
        outcomes.append({"broken": f"{type(error).__name__}: {error}"[:2000]})
json.dump(outcomes, sys.stdout)
