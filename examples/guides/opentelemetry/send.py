"""An agent with spans of its own, by the conventions of OpenTelemetry.

python send.py THREAD CALLS
"""

import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if "grpc" in sys.argv[3:]:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

thread, calls = sys.argv[1], int(sys.argv[2])

# Where to send is in OTEL_EXPORTER_OTLP_ENDPOINT.
provider = TracerProvider(resource=Resource.create({"service.name": "support-agent"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("support-agent")

with tracer.start_as_current_span("invoke_agent support") as agent:
    agent.set_attributes({"gen_ai.operation.name": "invoke_agent", "gen_ai.conversation.id": thread})
    for number in range(calls):
        with tracer.start_as_current_span("chat gpt-4o-mini", kind=trace.SpanKind.CLIENT) as call:
            call.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o-mini",
                    "gen_ai.conversation.id": thread,
                    "gen_ai.usage.input_tokens": 1000,
                    "gen_ai.usage.output_tokens": 100,
                }
            )

provider.shutdown()
