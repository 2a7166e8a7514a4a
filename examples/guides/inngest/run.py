"""Runs the function without a server, as Inngest's own testing kit does."""

import inngest
from function import client, name_things
from inngest.experimental import mocked

result = mocked.trigger(name_things, inngest.Event(name="docs/name"), mocked.Inngest(app_id=client.app_id))
print("ended", result.status.name, len(result.output))
