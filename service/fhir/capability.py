"""The CapabilityStatement: what can be read and searched here, as FHIR wants it said."""

from importlib.metadata import version
from typing import Any, Final

from cymba.fhir.registry import RESOURCE_TYPES
from cymba.fhir.resource_type import ResourceType
from service.fhir.outcomes import MEDIA_TYPE
from service.fhir.parameters import of_type
from service.http.own_address import own_address
from service.shapes.authorization import AUTHORIZE, REVOKE, TOKEN

FHIR_VERSION: Final = "4.0.1"
SMART: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
    "code": "SMART-on-FHIR",
}
OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
CHANGED_ON: Final = "2026-11-30"  # what it says, not the software


def statement(base: str) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": CHANGED_ON,
        "kind": "instance",
        "software": {"name": "Cymba", "version": version("cymba")},
        "implementation": {"description": "A person's record, for reading", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": [MEDIA_TYPE],
        "rest": [
            {
                "mode": "server",
                "documentation": DOCUMENTATION,
                "security": {
                    "extension": [_oauth_uris()],
                    "cors": True,
                    "service": [{"coding": [SMART]}],
                    "description": "A bearer token: the person's own, that of a share, or one that "
                    "an app got by SMART App Launch.",
                },
                "resource": [_resource(one) for one in RESOURCE_TYPES.values()],
            }
        ],
    }


def _oauth_uris() -> dict[str, Any]:
    """Where clients look that do not know `.well-known/smart-configuration`."""
    here = own_address()
    paths = {"authorize": AUTHORIZE, "token": TOKEN, "revoke": REVOKE}
    return {
        "url": OAUTH_URIS,
        "extension": [{"url": name, "valueUri": here + path} for name, path in paths.items()],
    }


def _resource(one: ResourceType) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": one.name,
        "documentation": one.about,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "conditionalRead": "not-match",
        "searchParam": [
            {"name": name, "type": kind, "documentation": about}
            for name, kind, about in of_type(one)
        ],
    }
    if one.name == "Patient":
        definition = "http://hl7.org/fhir/OperationDefinition/Patient-everything"
        shown["operation"] = [{"name": "everything", "definition": definition}]
    return shown


DOCUMENTATION: Final = """\
Read-only. A token opens one person's record; of anybody else nothing is found. A search parameter \
that is not named here is refused with 400. Pages follow by `next`, are cut at 200 resources, the \
newest first, and hold no `total`. Times without a zone are UTC. What the person can still edit is \
`preliminary` or `amended`. Nothing here says that stimulation treats anything.\
"""
