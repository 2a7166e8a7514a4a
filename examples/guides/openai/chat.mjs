// OpenAI's own client, through the gateway: only the base URL is another.

import OpenAI from "openai";

const gateway = process.env.MIDWATCH_GATEWAY_URL;
const thread = process.argv[2];
const client = new OpenAI({ baseURL: `${gateway}/run/${thread}/v1`, apiKey: "of no concern" });

try {
  const { data, response } = await client.chat.completions
    .create(
      { model: "gpt-4o-mini", messages: [{ role: "user", content: "Name a star." }] },
      { headers: { "x-midwatch-step": "name_star" } },
    )
    .withResponse();
  console.log("cost", response.headers.get("x-midwatch-cost-usd"));
  console.log("answer", data.choices[0].message.content);

  const stream = await client.chat.completions.create({
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: "Name a sea." }],
    stream: true,
  });
  let characters = 0;
  for await (const chunk of stream) characters += chunk.choices[0]?.delta?.content?.length ?? 0;
  console.log("stream", characters, "characters");
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  // A budget is spent: 402, and the client does not try again.
  console.log("refused", error.status, error.code);
  process.exit(3);
}
