"""DBOS on SQLite: workflows of ten steps that give back what they got."""

import asyncio
import json
import os
import sys
import time

from dbos import DBOS


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


async def measure(runs: int, at_once: int, lone: int) -> dict:
    for _ in range(5):
        await one()
    times = []
    for _ in range(lone):
        begun = time.perf_counter()
        await one()
        times.append(time.perf_counter() - begun)

    async def worker(first: int) -> None:
        for _ in range(first, runs, at_once):
            await one()

    cpu, begun = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker(n) for n in range(at_once)))
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "steps_per_s": runs * 10 / wall,
        "cpu_us_per_step": cpu / (runs * 10) * 1e6,
        "lone_run_ms": sorted(times)[len(times) // 2] * 1e3,
    }


folder, runs, at_once, lone = sys.argv[1], *map(int, sys.argv[2:5])
database = "sqlite:///" + os.path.join(folder, "dbos.sqlite")
DBOS(config={"name": "bench", "system_database_url": database, "log_level": "ERROR"})
DBOS.launch()
print(json.dumps(asyncio.run(measure(runs, at_once, lone))))
DBOS.destroy()
