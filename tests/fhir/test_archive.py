"""A person's archive holds the same resources, by their types."""

import io
import json
import zipfile
from datetime import UTC, datetime

from cymba.database import UnitOfWork
from cymba.rights.export import export

NOW = datetime(2026, 3, 11, tzinfo=UTC)


def test_it_holds_every_resource_of_the_person_and_no_other(three, records):
    for who in three.ids:
        with UnitOfWork(three.engine) as session:
            body = b"".join(export(session, who, schema_version="1", now=NOW))
        found = []
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            listed = {
                one["name"]: one for one in json.loads(archive.read("manifest.json"))["members"]
            }
            for name in archive.namelist():
                if not name.startswith("fhir/"):
                    continue
                lines = [json.loads(line) for line in archive.read(name).splitlines()]
                assert {f"fhir/{one['resourceType']}.ndjson" for one in lines} == {name}
                assert listed[name]["rows"] == len(lines)
                found += lines
        brought = [
            one for one in records[who] if one["id"].startswith(("hr.", "rhr.", "sdnn.", "rmssd."))
        ]
        assert found == [one for one in records[who] if one not in brought]
