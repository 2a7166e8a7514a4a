"""Anthropic's own client, through the gateway: only the base URL is another."""

import os
import sys

from anthropic import Anthropic, APIStatusError

gateway, thread = os.environ["MIDWATCH_GATEWAY_URL"], sys.argv[1]
client = Anthropic(base_url=f"{gateway}/run/{thread}", api_key="of no concern")

try:
    answer = client.messages.with_raw_response.create(
        model="claude-sonnet-4-5",
        max_tokens=200,
        messages=[{"role": "user", "content": "Name a star."}],
        extra_headers={"x-midwatch-step": "name_star"},
    )
    print("cost", answer.headers["x-midwatch-cost-usd"])
    print("answer", answer.parse().content[0].text)

    with client.messages.stream(
        model="claude-sonnet-4-5", max_tokens=200, messages=[{"role": "user", "content": "Name a sea."}]
    ) as stream:
        print("stream", sum(len(text) for text in stream.text_stream), "characters")
except APIStatusError as error:
    # A budget is spent: 402, and the client does not try again.
    print("refused", error.status_code, error.body["error"]["type"])
    sys.exit(3)
