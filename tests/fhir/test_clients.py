"""Two clients that others wrote read a whole record, page by page."""

from collections.abc import Iterator
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import pytest
from fhirclient import client as smart
from fhirclient.models import fhirabstractresource
from fhirclient.models.fhirelementfactory import FHIRElementFactory
from fhirpy import SyncFHIRClient
from werkzeug.serving import make_server

from cymba.fhir.registry import RESOURCE_TYPES

ON_A_PAGE = 7


@pytest.fixture(scope="module")
def base(three) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, three.app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/fhir/R4"
    server.shutdown()
    thread.join()


@pytest.fixture(params=range(3))
def whose(request, three):
    return three.ids[request.param]


@pytest.fixture
def expected(records, whose) -> set[str]:
    return {f"{one['resourceType']}/{one['id']}" for one in records[whose]}


def test_fhirpy_pages_through_everything(three, base, whose, expected):
    token = three.token(whose)
    client = SyncFHIRClient(base, authorization=f"Bearer {token}")
    found = []
    for kind in RESOURCE_TYPES:
        search = client.resources(kind).limit(ON_A_PAGE)
        if kind != "Patient":
            search = search.search(patient=f"Patient/{whose}")
        found += [f"{one.resource_type}/{one.id}" for one in search]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_fhirclient_pages_through_everything_and_reads_each_again(three, base, whose, expected):
    """Its models refuse what is not FHIR."""
    client = smart.FHIRClient(settings={"app_id": "test", "api_base": base})
    client.server.session.headers["Authorization"] = f"Bearer {three.token(whose)}"
    found = []
    for kind in RESOURCE_TYPES:
        model = type(FHIRElementFactory.instantiate(kind, None))
        assert issubclass(model, fhirabstractresource.FHIRAbstractResource)
        search = model.where({"_count": str(ON_A_PAGE)})
        resources = list(search.perform_resources_iter(client.server))
        found += [f"{one.resource_type}/{one.id}" for one in resources]
        for one in resources[:2]:
            assert model.read(one.id, client.server).as_json() == one.as_json()
    assert len(found) == len(expected)
    assert set(found) == expected


def test_everything_is_the_same_by_its_operation(three, base, whose, expected):
    client = SyncFHIRClient(base, authorization=f"Bearer {three.token(whose)}")
    found, path, params = [], f"Patient/{whose}/$everything", {"_count": "20"}
    while True:
        bundle = client.execute(path, method="get", params=params)
        found += [
            f"{one['resource']['resourceType']}/{one['resource']['id']}"
            for one in bundle.get("entry", ())
        ]
        links = {one["relation"]: one["url"] for one in bundle["link"]}
        if "next" not in links:
            break
        params = dict(parse_qsl(urlsplit(links["next"]).query))
    assert len(found) == len(expected)
    assert set(found) == expected
