// Anthropic's own client, through the gateway: only the base URL is another.

import Anthropic from "@anthropic-ai/sdk";

const gateway = process.env.MIDWATCH_GATEWAY_URL;
const thread = process.argv[2];
const client = new Anthropic({ baseURL: `${gateway}/run/${thread}`, apiKey: "of no concern" });

try {
  const { data, response } = await client.messages
    .create(
      { model: "claude-sonnet-4-5", max_tokens: 200, messages: [{ role: "user", content: "Name a star." }] },
      { headers: { "x-midwatch-step": "name_star" } },
    )
    .withResponse();
  console.log("cost", response.headers.get("x-midwatch-cost-usd"));
  console.log("answer", data.content[0].text);

  let characters = 0;
  const stream = client.messages.stream({
    model: "claude-sonnet-4-5",
    max_tokens: 200,
    messages: [{ role: "user", content: "Name a sea." }],
  });
  stream.on("text", (text) => (characters += text.length));
  await stream.finalMessage();
  console.log("stream", characters, "characters");
} catch (error) {
  if (!(error instanceof Anthropic.APIError)) throw error;
  // A budget is spent: 402, and the client does not try again.
  console.log("refused", error.status, error.error.error.type);
  process.exit(3);
}
