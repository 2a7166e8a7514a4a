"""LangGraph with its checkpointer on SQLite: graphs of ten nodes, each of them kept before the next one starts."""

import asyncio
import os
import sys
import uuid
from typing import TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from measure import measure


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


async def run(path: str, *amount: int) -> None:
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        graph = built(saver)

        async def one() -> None:
            thread = {"configurable": {"thread_id": str(uuid.uuid4())}}
            await graph.ainvoke({"text": "a short text"}, thread, durability="sync")

        await measure(one, *amount)


asyncio.run(run(os.path.join(sys.argv[1], "langgraph.sqlite"), *map(int, sys.argv[2:5])))
