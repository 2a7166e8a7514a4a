"""How long runs of ten steps take: alone, and many of them side by side. Prints the figures as one JSON object."""

import asyncio
import json
import time


async def measure(one, runs: int, at_once: int, lone: int) -> None:
    """Measures `one`, which carries out one run and waits for its end."""
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
    figures = {
        "steps_per_s": runs * 10 / wall,
        "cpu_us_per_step": cpu / (runs * 10) * 1e6,
        "lone_run_ms": sorted(times)[len(times) // 2] * 1e3,
    }
    print(json.dumps(figures))
