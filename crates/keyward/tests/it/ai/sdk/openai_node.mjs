// OpenAI's library for JavaScript, unmodified, does what its users do with it. Tells what it did; whatever is wrong ends it.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const [gateway, key, ...dialects] = process.argv.slice(2);
const did = [];
const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const Person = z.object({ name: z.string(), age: z.number().int() });

async function chat(dialect) {
  const model = `${dialect}-text`;
  const answer = await client.chat.completions.create({ model, messages });
  assert.equal(answer.choices[0].message.content, "Hello there!");
  assert.equal(answer.usage.prompt_tokens, 10);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.equal(text, "Hello thére 😀!");
  const stream = client.chat.completions.stream({ model, messages });
  assert.equal(await stream.finalContent(), "Hello thére 😀!");
}

async function runTools(dialect) {
  const asked = [];
  const tool = zodFunction({
    name: "get_weather",
    description: "The weather in a city",
    parameters: z.object({ city: z.string() }),
    function: ({ city }) => {
      asked.push(city);
      return "18 degrees";
    },
  });
  const model = `${dialect}-tool-loop`;
  const runner = client.chat.completions.runTools({ model, messages, tools: [tool] });
  assert.equal(await runner.finalContent(), "Hello there!");
  const streamed = client.chat.completions.runTools({ model, messages, tools: [tool], stream: true });
  assert.equal(await streamed.finalContent(), "Hello thére 😀!");
  assert.deepEqual(asked, ["Paris", "Paris"]);
}

async function parsed(dialect) {
  const model = `${dialect}-schema`;
  const format = zodResponseFormat(Person, "person");
  const answer = await client.chat.completions.parse({ model, messages, response_format: format });
  assert.deepEqual(answer.choices[0].message.parsed, { name: "Ada", age: 36 });
  const text = { format: zodTextFormat(Person, "person") };
  const response = await client.responses.parse({ model, input: "Who?", text });
  assert.deepEqual(response.output_parsed, { name: "Ada", age: 36 });
}

async function responses(dialect) {
  const model = `${dialect}-text`;
  const answer = await client.responses.create({ model, input: "Hi" });
  assert.equal(answer.output_text, "Hello there!");
  const stream = client.responses.stream({ model, input: "Hi" });
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const final = await stream.finalResponse();
  assert.equal(text, "Hello thére 😀!");
  assert.equal(final.output_text, text);
}

async function embeddings() {
  const answer = await client.embeddings.create({ model: "embedding", input: ["one", "two"] });
  assert.deepEqual(answer.data.map((entry) => entry.embedding), [[0.5, -0.25], [1, 0]]);
}

async function models() {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes(`${dialects[0]}-text`) && !names.includes("forbidden"));
  assert.equal((await client.models.retrieve(`${dialects[0]}-text`)).id, `${dialects[0]}-text`);
}

async function errors() {
  const ask = (model, more) => client.chat.completions.create({ model, messages, ...more });
  await assert.rejects(ask("nobody"), OpenAI.NotFoundError);
  await assert.rejects(client.withOptions({ apiKey: "kwk_wrong" }).models.list(), OpenAI.AuthenticationError);
  await assert.rejects(ask("forbidden"), OpenAI.PermissionDeniedError);
  await assert.rejects(ask("invalid"), OpenAI.BadRequestError);
  await assert.rejects(ask("failing"), OpenAI.InternalServerError);
  await assert.rejects(ask("always-busy"), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.headers.get("retry-after"), "1");
    return true;
  });
  await assert.rejects(ask("anthropic-text", { seed: 7 }), { code: "unsupported_seed" });
  const stream = await ask("cut", { stream: true });
  await assert.rejects(async () => {
    for await (const _chunk of stream);
  }, OpenAI.APIError);
}

async function retries() {
  const answer = await client.chat.completions.create({ model: "busy-once", messages }, { maxRetries: 1 });
  assert.equal(answer.choices[0].message.content, "Hello there!");
}

async function timeouts() {
  const call = client.chat.completions.create({ model: "silent", messages }, { timeout: 300 });
  await assert.rejects(call, OpenAI.APIConnectionTimeoutError);
}

for (const dialect of dialects) {
  for (const feature of [chat, runTools, parsed, responses]) {
    await feature(dialect);
    did.push(`${feature.name} ${dialect}`);
  }
}
for (const feature of [embeddings, models, errors, retries, timeouts]) {
  await feature();
  did.push(feature.name);
}
console.log(JSON.stringify(did));
