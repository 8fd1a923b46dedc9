"""A person's archive holds the same resources, by their types."""

import json


def test_it_holds_every_resource_of_the_person_and_no_other(three, records, archives):
    for who in three.ids:
        found = []
        archive = archives[who]
        listed = {one["name"]: one for one in json.loads(archive["manifest.json"])["members"]}
        for name, body in archive.items():
            if not name.startswith("fhir/"):
                continue
            lines = [json.loads(line) for line in body.splitlines()]
            assert {f"fhir/{one['resourceType']}.ndjson" for one in lines} == {name}
            assert listed[name]["rows"] == len(lines)
            found += lines
        brought = [
            one for one in records[who] if one["id"].startswith(("hr.", "rhr.", "sdnn.", "rmssd."))
        ]
        assert found == [one for one in records[who] if one not in brought]
