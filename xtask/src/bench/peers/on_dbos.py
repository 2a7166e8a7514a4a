"""DBOS on SQLite: workflows of ten steps that give back what they got."""

import asyncio
import os
import sys

from dbos import DBOS
from measure import measure


@DBOS.step()
async def echo(text: str) -> str:
    return text


@DBOS.workflow()
async def ten_steps(text: str) -> str:
    for _ in range(10):
        text = await echo(text)
    return text


async def one() -> None:
    handle = await DBOS.start_workflow_async(ten_steps, "a short text")
    await handle.get_result()


folder, runs, at_once, lone = sys.argv[1], *map(int, sys.argv[2:5])
database = "sqlite:///" + os.path.join(folder, "dbos.sqlite")
DBOS(config={"name": "bench", "system_database_url": database, "log_level": "ERROR"})
DBOS.launch()
asyncio.run(measure(one, runs, at_once, lone))
DBOS.destroy()
