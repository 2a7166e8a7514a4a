"""An Inngest function whose steps ask a model: its run id is the run, and the step's id the step."""

import os

import inngest
from openai import OpenAI

gateway = os.environ["MIDWATCH_GATEWAY_URL"]
client = inngest.Inngest(app_id="docs", is_production=False)


def ask(run_id: str, step: str, question: str) -> str:
    model = OpenAI(base_url=f"{gateway}/run/{run_id}/v1", api_key="of no concern", max_retries=0)
    headers = {"x-midwatch-step": step, "x-midwatch-workflow": "name_things"}
    messages = [{"role": "user", "content": question}]
    answer = model.chat.completions.create(model="gpt-4o-mini", messages=messages, extra_headers=headers)
    return answer.choices[0].message.content


@client.create_function(fn_id="name_things", trigger=inngest.TriggerEvent(event="docs/name"))
def name_things(ctx: inngest.ContextSync) -> list[str]:
    star = ctx.step.run("name_star", lambda: ask(ctx.run_id, "name_star", "Name a star."))
    sea = ctx.step.run("name_sea", lambda: ask(ctx.run_id, "name_sea", "Name a sea."))
    return [star, sea]
