"""A Hatchet task that asks a model: its workflow run id is the run."""

import os

from hatchet_sdk import Context, EmptyModel, Hatchet
from openai import OpenAI

gateway = os.environ["MIDWATCH_GATEWAY_URL"]
hatchet = Hatchet()


@hatchet.task(name="name_star", retries=2)
def name_star(input: EmptyModel, ctx: Context) -> dict[str, str]:
    base_url = f"{gateway}/run/{ctx.workflow_run_id}/v1"
    model = OpenAI(base_url=base_url, api_key="of no concern", max_retries=0)
    answer = model.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Name a star."}],
        extra_headers={"x-midwatch-step": "name_star", "x-midwatch-workflow": "name_star"},
    )
    return {"star": answer.choices[0].message.content}
