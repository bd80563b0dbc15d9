"""What the libraries of OpenTelemetry and Prometheus read of what keyward writes.

`reader.py spans`: hexadecimal bodies of OTLP exports, one a line, to a JSON list of spans; the attributes of
their resource come under `resource`.
`reader.py metrics`: a page in Prometheus' text format to a JSON object: the kind of each family, and how many
samples it has.
"""

import json
import sys


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(pairs):
    found = {pair.key: value(pair.value) for pair in pairs}
    assert len(found) == len(pairs), "an attribute came twice"
    return found


def spans():
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

    told = []
    for line in sys.stdin:
        request = ExportTraceServiceRequest.FromString(bytes.fromhex(line))
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    told.append(
                        {
                            "resource": attributes(resource_spans.resource.attributes),
                            "scope": scope_spans.scope.name,
                            "trace_id": span.trace_id.hex(),
                            "span_id": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "state": span.trace_state,
                            "name": span.name,
                            "kind": Span.SpanKind.Name(span.kind),
                            "start": span.start_time_unix_nano,
                            "end": span.end_time_unix_nano,
                            "attributes": attributes(span.attributes),
                            "status": Status.StatusCode.Name(span.status.code),
                            "flags": span.flags,
                        }
                    )
    return told


def metrics():
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(sys.stdin.read())
    return {family.name: [family.type, len(family.samples)] for family in families}


print(json.dumps({"spans": spans, "metrics": metrics}[sys.argv[1]]()))
