"""OpenAI's own client, through the gateway: only the base URL is another."""

import os
import sys

from openai import APIStatusError, OpenAI

gateway, thread = os.environ["MIDWATCH_GATEWAY_URL"], sys.argv[1]
client = OpenAI(base_url=f"{gateway}/run/{thread}/v1", api_key="of no concern")

try:
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Name a star."}],
        extra_headers={"x-midwatch-step": "name_star"},
    )
    print("cost", answer.headers["x-midwatch-cost-usd"])
    print("answer", answer.parse().choices[0].message.content)

    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Name a sea."}], stream=True
    )
    print("stream", sum(len(chunk.choices[0].delta.content or "") for chunk in stream if chunk.choices), "characters")
except APIStatusError as error:
    # A budget is spent: 402, and the client does not try again.
    print("refused", error.status_code, error.code)
    sys.exit(3)
