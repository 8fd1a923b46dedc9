"""What generators of clients need besides what the fields say.

They make a type of each schema that has a name. So an answer that many operations share is written
once and named; integers say how many bits they need; and no schema of an answer forbids further
members, for a client of today must be able to read what is added tomorrow.
"""

from collections.abc import Iterator
from typing import Any, Final

from service.http.fields import EXACT_IN_JSON
from service.http.problems import MEDIA_TYPE, PROBLEMS, example_body

Document = dict[str, Any]

METHODS: Final = ("get", "put", "post", "patch", "delete")
INT32: Final = 2**31 - 1

PATH_PARAMETERS: Final = {
    "device_id": "A device of the list `/v1/devices`.",
    "entry_id": "The diary entry's id, which the app that wrote it has chosen.",
    "experiment_id": "A trial of the list `/v1/experiments`.",
    "exposure": "How use is counted: an `exposure` of `/v1/insights/correlations`.",
    "identity_id": "A provider's sign-in of the list `/v1/account/identities`.",
    "import_id": "An import of the list `/v1/imports`.",
    "item": "A side effect by its code, as `/v1/diary/items` lists it.",
    "kind": "A kind of reading, such as `heart_rate`.",
    "number": "The block of the trial's plan, counted from 0.",
    "outcome": "What was rated: an `outcome` of `/v1/insights/correlations`.",
    "picture": "Which picture of the symptom.",
    "purpose": "What the consent is for, as `/v1/consents` lists it.",
    "piece": "Which piece of the file, counted from 0.",
    "provider": "The name of a provider: `GET /v1/auth/oidc` lists them.",
    "quarantine_id": "A frame of the list `/v1/operator/quarantine`.",
    "remark_id": "The remark's id, which the app that wrote it has chosen.",
    "reminder_id": "The reminder's id, which the app that wrote it has chosen.",
    "session_id": "A session of the list `/v1/sessions`, or an id chosen for one by its app.",
    "share_id": "A share of the list `/v1/shares`.",
    "sign_in_id": "A sign-in of the list `/v1/account/sign-ins`.",
    "symptom": "A symptom by its code, as `/v1/diary/items` lists it.",
}

SCALAR: Final = {
    "description": "A single value; what it means, and so its type, goes by its name.",
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}],
}
# Of no type, but with a name: what refers to itself is more than some generators can follow.
ANY_VALUE: Final = {"description": "Any JSON; what it means, and so its type, goes by its name."}
SCALAR_TYPES: Final = ["string", "number", "boolean", "null"]


def prepare(document: Document) -> None:
    """Change a whole document in place."""
    name_problems(document)
    open_answers(document)
    describe_parameters(document)
    for schema in list(_objects(document)):
        name_values(schema)
        size_integers(schema)
        plain_rules(schema)
    document["components"]["schemas"] |= {"AnyValue": ANY_VALUE, "Scalar": SCALAR}


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Each operation with its path and its method in small letters."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def name_problems(document: Document) -> None:
    """Write each answer that tells of problems once, named after its status and its codes."""
    answers = document["components"].setdefault("responses", {})
    used: set[str] = set()
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {})
            codes = content[MEDIA_TYPE]["examples"] if MEDIA_TYPE in content else {}
            used |= codes.keys()
            if content.keys() == {MEDIA_TYPE}:
                name = ".".join([str(status), *codes])
                answers[name] = answer
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    examples = {code: {"value": example_body(code)} for code in PROBLEMS if code in used}
    document["components"]["examples"] = examples


def open_answers(document: Document) -> None:
    """Let answers have further members. What a request sends may have none."""
    answered = [operation["responses"] for _, _, operation in operations(document)]
    for schema in _reached(document, [*answered, document["components"]["responses"]]):
        if schema.get("additionalProperties") is False:
            del schema["additionalProperties"]


def describe_parameters(document: Document) -> None:
    """Say of each part of a path what it names."""
    for item in document["paths"].values():
        for parameter in item.get("parameters", ()):
            parameter["description"] = PATH_PARAMETERS[parameter["name"]]


def name_values(schema: Document) -> None:
    """Give values of any type a name, of which a generator can make a type."""
    values = schema.get("additionalProperties")
    if values is True or values == {}:
        schema["additionalProperties"] = {"$ref": "#/components/schemas/AnyValue"}
    elif values == {"type": SCALAR_TYPES}:
        schema["additionalProperties"] = {"$ref": "#/components/schemas/Scalar"}


def size_integers(schema: Document) -> None:
    """Say of an integer where it ends, and whether that fits 32 bits."""
    kinds = schema.get("type")
    if "integer" in (kinds if isinstance(kinds, list) else [kinds]) and "enum" not in schema:
        low = schema.setdefault("minimum", -EXACT_IN_JSON)
        high = schema.setdefault("maximum", EXACT_IN_JSON)
        schema["format"] = "int32" if low >= -INT32 and high <= INT32 else "int64"


def plain_rules(schema: Document) -> None:
    """Write rules as every language reads them."""
    kinds = schema.get("type")
    if "object" in (kinds if isinstance(kinds, list) else [kinds]) and "maxLength" in schema:
        schema["maxProperties"] = schema.pop("maxLength")
    if isinstance(schema.get("pattern"), str):  # Python's `$` alone lets a line break pass
        schema["pattern"] = schema["pattern"].removesuffix(r"(?!\n)")


def _reached(document: Document, parts: list[Any]) -> Iterator[Document]:
    """Each object in `parts`, and in the components that they refer to, once."""
    seen: set[str] = set()
    left = list(parts)
    while left:
        for found in _objects(left.pop()):
            yield found
            reference = found.get("$ref")
            if isinstance(reference, str) and reference not in seen:
                seen.add(reference)
                part: Any = document
                for key in reference.removeprefix("#/").split("/"):
                    part = part[key]
                left.append(part)


def _objects(part: Any) -> Iterator[Document]:
    """Each JSON object in `part`; examples are values, and say nothing of types."""
    match part:
        case dict():
            yield part
            for name, held in part.items():
                if name not in {"example", "examples"}:
                    yield from _objects(held)
        case list():
            for held in part:
                yield from _objects(held)
