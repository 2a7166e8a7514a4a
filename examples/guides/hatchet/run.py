"""Runs the task without a server, as Hatchet's own testing kit does."""

from task import name_star

print("ended", name_star.mock_run())
