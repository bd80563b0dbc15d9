// Anthropic's library for JavaScript, unmodified, does what its users do with it. Tells what it did; whatever is wrong ends
// it.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

const [gateway, key, ...dialects] = process.argv.slice(2);
const did = [];
const client = new Anthropic({ baseURL: gateway, apiKey: key, maxRetries: 0 });
const said = [{ role: "user", content: "What is the weather in Paris?" }];
const ask = (model, more, options) =>
  client.messages.create({ model, max_tokens: 50, messages: said, ...more }, options);

async function messages(dialect) {
  const model = `${dialect}-text`;
  const answer = await ask(model);
  assert.equal(answer.content[0].text, "Hello there!");
  assert.equal(answer.stop_reason, "end_turn");
  let text = "";
  const stream = client.messages.stream({ model, max_tokens: 50, messages: said });
  stream.on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  assert.equal(text, "Hello thére 😀!");
  assert.equal(final.content[0].text, text);
  assert.equal(final.usage.output_tokens, 5);
}

async function toolRunner(dialect) {
  const asked = [];
  const tool = betaZodTool({
    name: "get_weather",
    description: "The weather in a city",
    inputSchema: z.object({ city: z.string() }),
    run: ({ city }) => {
      asked.push(city);
      return "18 degrees";
    },
  });
  const model = `${dialect}-tool-loop`;
  const final = await client.beta.messages.toolRunner({ model, max_tokens: 50, messages: said, tools: [tool] });
  assert.equal(final.content[0].text, "Hello there!");
  const streamed = client.beta.messages.toolRunner({ model, max_tokens: 50, messages: said, tools: [tool], stream: true });
  let last;
  for await (const stream of streamed) last = await stream.finalMessage();
  assert.equal(last.content[0].text, "Hello thére 😀!");
  assert.deepEqual(asked, ["Paris", "Paris"]);
}

async function parsed(dialect) {
  const Person = z.object({ name: z.string(), age: z.number().int() });
  const output_config = { format: zodOutputFormat(Person) };
  const answer = await client.messages.parse({ model: `${dialect}-schema`, max_tokens: 50, messages: said, output_config });
  assert.deepEqual(answer.parsed_output, { name: "Ada", age: 36 });
}

async function counting() {
  const counted = await client.messages.countTokens({ model: "counting", messages: said });
  assert.equal(counted.input_tokens, 14);
}

async function models() {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes(`${dialects[0]}-text`) && !names.includes("forbidden"));
  assert.equal((await client.models.retrieve(`${dialects[0]}-text`)).id, `${dialects[0]}-text`);
}

async function errors() {
  await assert.rejects(ask("nobody"), Anthropic.NotFoundError);
  const stranger = new Anthropic({ baseURL: gateway, apiKey: "kwk_wrong", maxRetries: 0 });
  await assert.rejects(async () => await stranger.models.list(), Anthropic.AuthenticationError);
  await assert.rejects(ask("forbidden"), Anthropic.PermissionDeniedError);
  await assert.rejects(ask("invalid"), Anthropic.BadRequestError);
  await assert.rejects(ask("failing"), Anthropic.InternalServerError);
  await assert.rejects(ask("always-busy"), (error) => {
    assert.ok(error instanceof Anthropic.RateLimitError);
    assert.equal(error.headers.get("retry-after"), "1");
    return true;
  });
  const stream = await ask("cut", { stream: true });
  await assert.rejects(async () => {
    for await (const _event of stream);
  }, Anthropic.APIError);
}

async function retries() {
  const answer = await ask("busy-once", {}, { maxRetries: 1 });
  assert.equal(answer.content[0].text, "Hello there!");
}

async function timeouts() {
  await assert.rejects(ask("silent", {}, { timeout: 300 }), Anthropic.APIConnectionTimeoutError);
}

for (const dialect of dialects) {
  for (const feature of [messages, toolRunner, parsed]) {
    await feature(dialect);
    did.push(`${feature.name} ${dialect}`);
  }
}
for (const feature of [counting, models, errors, retries, timeouts]) {
  await feature();
  did.push(feature.name);
}
console.log(JSON.stringify(did));
