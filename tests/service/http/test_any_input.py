"""Whatever is sent, the answer is one that the document describes, and never a defect."""

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema


def configuration(headers):
    return {
        "seed": 20260301,
        "headers": headers,
        "continue-on-failure": True,
        "generation": {"max-examples": 8, "deterministic": True, "database": "none"},
        "phases": {"stateful": {"generation": {"max-examples": 10}}},
        "cache": {"enabled": False},
        "checks": {
            # Rules that no JSON Schema can say (a known time zone, a password that goes with
            # another field) refuse some input that the document allows.
            "positive_data_acceptance": {"enabled": False},
            "missing_required_header": {"expected-statuses": [401, 428]},
        },
        "operations": [
            # Each that is answered 200 would stay open for seconds.
            {"include-name": "GET /v1/sync/live", "enabled": False},
            # A broken operation of a push rejects itself alone: the push is answered 200.
            {
                "include-name": "POST /v1/sync",
                "checks": {"negative_data_rejection": {"enabled": False}},
            },
        ],
    }


def test_every_answer_is_described(ready_app, serve, person):
    config = SchemathesisConfig.from_dict(configuration(person.headers))
    url = serve(ready_app)
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json", config=config)
    failures, asked = {}, 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            failures[str(event)] = repr(event)
        if not isinstance(event, events.ScenarioFinished):
            continue
        asked += len(event.recorder.interactions)
        for checks in event.recorder.checks.values():
            for check in checks:
                if check.status is Status.FAILURE:
                    failed = check.failure_info
                    label = f"{event.label}: {check.name}"
                    failures[label] = f"{failed.failure}\n{failed.code_sample}"
    assert not failures, "\n\n".join(f"{label}\n{text}" for label, text in failures.items())
    assert asked > 10 * len(schema.raw_schema["paths"])
