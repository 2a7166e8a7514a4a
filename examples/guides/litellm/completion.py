"""LiteLLM's client, through the gateway: its retries are off, so that one place retries."""

import os
import sys

import litellm

gateway, thread = os.environ["MIDWATCH_GATEWAY_URL"], sys.argv[1]

answer = litellm.completion(
    model="openai/gpt-4o-mini",
    messages=[{"role": "user", "content": "Name a star."}],
    api_base=f"{gateway}/run/{thread}/v1",
    api_key="of no concern",
    num_retries=0,
    max_retries=0,
    extra_headers={"x-midwatch-step": "name_star"},
)
print("answer", answer.choices[0].message.content)
