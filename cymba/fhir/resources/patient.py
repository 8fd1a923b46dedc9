"""Patient: the account's person. Cymba asks for no date of birth and no sex, so there is none.

Whoever looks by a share sees the name, as they do elsewhere, and not the address.
"""

from collections.abc import Iterator

from cymba.accounts.tables import Account
from cymba.fhir.parts import Resource, resource, text
from cymba.fhir.record import ACCOUNT, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType


def _patient(account: Account, owner: RecordOwner) -> Iterator[Resource]:
    name = text(account.name)
    fields: Resource = {"name": [{"text": name}] if name else None}
    if owner.is_own:
        fields["telecom"] = [{"system": "email", "value": account.email}]
    yield resource("Patient", account.id, fields)


PATIENT = ResourceType(
    "Patient",
    "The person whose record it is: their name, and to themself their e-mail address.",
    (Maker(ACCOUNT, _patient),),
    person=(),
)
