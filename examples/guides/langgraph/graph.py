"""A graph of three nodes, one of which fails the first time and is tried again.

python graph.py THREAD [hang]
"""

import sys
import threading
from typing import TypedDict

from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

thread, hangs = sys.argv[1], "hang" in sys.argv[2:]

# Retries are LangGraph's here: the client adds none of its own.
model = ChatOpenAI(model="gpt-4o-mini", max_retries=0)


class State(TypedDict, total=False):
    question: str
    plan: str
    notes: str
    answer: str


tries = 0


def plan(state: State) -> State:
    return {"plan": model.invoke("Plan: " + state["question"]).text}


def research(state: State) -> State:
    global tries
    tries += 1
    notes = model.invoke(f"Research, try {tries}: " + state["plan"][:80]).text
    if hangs:
        threading.Event().wait()
    if tries == 1:
        raise ConnectionError("the search engine is down")
    return {"notes": notes}


def answer(state: State) -> State:
    return {"answer": model.invoke("Answer from: " + state["notes"][:80]).text}


graph = StateGraph(State)
graph.add_node("plan", plan)
graph.add_node("research", research, retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.1))
graph.add_node("answer", answer)
graph.add_edge(START, "plan")
graph.add_edge("plan", "research")
graph.add_edge("research", "answer")
graph.add_edge("answer", END)
app = graph.compile(checkpointer=InMemorySaver())

try:
    end = app.invoke({"question": "Why is the sky blue?"}, {"configurable": {"thread_id": thread}})
    print(end["answer"])
finally:
    wait_for_all_tracers()
