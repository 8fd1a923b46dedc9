"""Whatever a search asks for, nothing of another person is in its answer."""

import json

import pytest

from cymba.fhir.search import Search
from tests.fhir.conftest import read_whole

FHIR = "/fhir/R4/"
VALUES = {
    "date": ["ge1900", "le2100-01-01", "2026-03-10", "sa2000-01"],
    "token": ["8867-4", "http://loinc.org|72514-3", "headache"],
}


@pytest.fixture
def ask(three):
    client = three.app.test_client()
    headers = {one: {"Authorization": f"Bearer {three.token(one)}"} for one in three.ids}

    def get(by, path, **params):
        return client.get(FHIR + path, query_string=params, headers=headers[by])

    return get


def test_by_any_search_parameter_nothing_is_of_another(three, ask, records):
    """The parameters are those of the CapabilityStatement."""
    ana, ben, cem = three.ids
    foreign = {one["id"] for who in (ben, cem) for one in records[who]}
    foreign |= {str(ben), str(cem)}
    types = ask(ana, "metadata").json["rest"][0]["resource"]
    asked = 0
    for one in types:
        others = [r for who in (ben, cem) for r in records[who]]
        theirs = {r["id"] for r in others if r["resourceType"] == one["type"]}
        for parameter in one["searchParam"]:
            match parameter["name"], parameter["type"]:
                case "_id", _:
                    values = [*sorted(theirs)[:3], ",".join(sorted(theirs)[:150])]
                case _, "reference":
                    values = [str(ben), f"Patient/{ben}", f"https://example.org/fhir/Patient/{ben}"]
                case _, kind:
                    values = VALUES[kind]
            for value in filter(None, values):
                answer = ask(ana, one["type"], **{parameter["name"]: value, "_count": 200})
                assert answer.status_code == 200, answer.json
                entries = answer.json.get("entry", [])
                shown = {entry["resource"]["id"] for entry in entries}
                assert not shown & foreign
                assert str(ben) not in json.dumps(entries)
                assert parameter["type"] != "reference" or not entries
                asked += 1
    assert asked > 60


def test_what_is_anothers_cannot_be_read(three, ask, records):
    ana, ben, _ = three.ids
    for one in records[ben]:
        answer = ask(ana, f"{one['resourceType']}/{one['id']}")
        assert (answer.status_code, answer.json["resourceType"]) == (404, "OperationOutcome")
    assert ask(ana, f"Patient/{ben}/$everything").status_code == 404


def test_a_cursor_is_good_for_its_own_search_and_record(three, ask):
    ana, ben, _ = three.ids
    first = ask(ana, "Observation", _count=2).json
    (url,) = [one["url"] for one in first["link"] if one["relation"] == "next"]
    cursor = url.partition("_cursor=")[2]
    assert ask(ana, "Observation", _count=2, _cursor=cursor).status_code == 200
    for who, kind, more in (
        (ben, "Observation", {"_count": 2}),
        (ana, "Procedure", {"_count": 2}),
        (ana, "Observation", {"_count": 3}),
        (ana, "Observation", {"_count": 2, "date": "ge2020"}),
    ):
        assert ask(who, kind, _cursor=cursor, **more).status_code == 400


@pytest.mark.parametrize("count", [1, 3, 50])
def test_every_size_of_page_gives_each_resource_once(three, records, count):
    for who in three.ids:
        assert read_whole(three.engine, who, Search(), count) == records[who]
