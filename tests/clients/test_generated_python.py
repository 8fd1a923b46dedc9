"""Python types that a generator makes of the document decode every example and what is answered."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from flask.testing import FlaskClient

from ops.openapi import document
from tests.service.conftest import ApiUser

JSON = "application/json"
METHODS = ("get", "put", "post", "patch", "delete")


@cache
def api() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(document())
    return made


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(api()))
    subprocess.run(
        [
            Path(sys.executable).with_name("datamodel-codegen"), "--input", "openapi.json",
            "--input-file-type", "openapi", "--output", "types.py", "--formatters", "builtin",
            "--output-model-type", "msgspec.Struct", "--use-msgspec-nullable-enum-alias",
            "--use-annotated", "--use-union-operator", "--target-python-version", "3.11",
        ],
        cwd=folder, check=True, timeout=300,
    )  # fmt: skip
    spec = importlib.util.spec_from_file_location("generated_types", folder / "types.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where the types look each other up
    spec.loader.exec_module(module)
    return module


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in api()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def type_of(types: ModuleType, media: dict[str, Any]) -> Any:
    return getattr(types, media["schema"]["$ref"].rpartition("/")[2])


def test_every_example_is_decoded(types: ModuleType) -> None:
    decoded = 0
    for _, _, operation in operations():
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            media = body.get("content", {}).get(JSON, {})
            if "example" in media and "$ref" in media["schema"]:
                msgspec.json.decode(json.dumps(media["example"]), type=type_of(types, media))
                decoded += 1
    for one in api()["components"]["examples"].values():
        msgspec.json.decode(json.dumps(one["value"]), type=types.Problem)
    assert decoded > 80


def test_what_is_read_is_decoded(types: ModuleType, client: FlaskClient, person: ApiUser) -> None:
    """Also with members that a later version may add."""
    for method, path, operation in operations():
        if method == "put" and path.count("{") == 1 and path.endswith("_id}"):
            example = operation["requestBody"]["content"][JSON]["example"]
            made = client.put(
                f"{path.partition('{')[0]}{uuid4()}", json=example, headers=person.headers
            )
            assert made.status_code == 201
            media = operation["responses"]["201"]["content"][JSON]
            msgspec.json.decode(made.data, type=type_of(types, media))
    read = 0
    for method, path, operation in operations():
        media = operation["responses"].get("200", {}).get("content", {}).get(JSON, {})
        if method != "get" or "{" in path or "$ref" not in media.get("schema", {}):
            continue
        answer = client.get(path, headers=person.headers)
        if answer.status_code != 200:  # it needs a parameter, or a consent
            continue
        later = json.dumps(json.loads(answer.data) | {"added_later": [{"x": 1}]})
        for text in (answer.data, later):
            msgspec.json.decode(text, type=type_of(types, media))
        read += 1
    assert read > 15
