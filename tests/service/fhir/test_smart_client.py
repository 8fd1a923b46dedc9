"""SMART's own client for Python is let in, reads, reads on and is revoked."""

from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from fhirclient import client as smart
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRUnauthorizedException

from cymba.database import utc_now
from tests.service.smart_app import BACK, register


def test_the_client_goes_through(app, serve, engine, person):
    here = serve(app)
    client_id, secret = register(engine, confidential=True)
    theirs = smart.FHIRClient(
        settings={
            "app_id": client_id,
            "app_secret": secret,
            "api_base": f"{here}/fhir/R4",
            "redirect_uri": BACK,
            "scope": "launch/patient patient/Patient.read offline_access",
        }
    )
    asked = urlsplit(theirs.authorize_url)
    assert asked.path == "/oauth/authorize"
    yes = {
        "query": asked.query,
        "scopes": ["launch/patient", "patient/Patient.read", "offline_access"],
        "expires_at": (utc_now() + timedelta(days=1)).isoformat(),
    }
    with httpx.Client(base_url=here, headers=person.headers) as companion:
        allowed = companion.post("/v1/apps/allowances", json=yes).json()
        theirs.handle_callback(allowed["redirect_to"])
        assert theirs.patient.id == str(person.id)
        assert theirs.reauthorize()
        assert Patient.read(str(person.id), theirs.server).id == str(person.id)
        (share,) = companion.get("/v1/shares").json()["items"]
        companion.delete(f"/v1/shares/{share['id']}")
    with pytest.raises(FHIRUnauthorizedException):
        Patient.read(str(person.id), theirs.server)
