"""LangGraph with its checkpointer on SQLite: graphs of ten nodes, each of them kept before the next one starts."""

import asyncio
import json
import os
import sys
import time
import uuid
from typing import TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    text: str


async def echo(state: State) -> State:
    return {"text": state["text"]}


def built(saver):
    graph = StateGraph(State)
    names = [f"step_{n}" for n in range(10)]
    for name in names:
        graph.add_node(name, echo)
    for before, after in zip([START, *names], [*names, END]):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=saver)


async def measure(path: str, runs: int, at_once: int, lone: int) -> dict:
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        graph = built(saver)

        async def one() -> None:
            thread = {"configurable": {"thread_id": str(uuid.uuid4())}}
            await graph.ainvoke({"text": "a short text"}, thread, durability="sync")

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
path = os.path.join(folder, "langgraph.sqlite")
print(json.dumps(asyncio.run(measure(path, runs, at_once, lone))))
