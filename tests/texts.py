"""Every text of the product that a person may read: of its tables, and in its code."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from cymba.accounts.consent import PURPOSES
from cymba.accounts.letters import LETTERS
from cymba.devices.contraindications import QUESTIONS
from cymba.devices.programme import NO_REASON, REFUSAL_CODES
from cymba.devices.screening import LOCKS, RED_FLAGS, SEEK_CARE
from cymba.diary.items import CONDITIONS, ITEMS
from cymba.diary.values import Answers
from cymba.errors import DomainError
from cymba.imports.found import FAILURES, KINDS, REASONS
from cymba.insights.exposures import EXPOSURES
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.pictures.captions import CAPTIONS
from cymba.insights.words import TEMPLATES
from cymba.reports.words import TEXTS as REPORT_TEXTS
from cymba.rights.personal_data import BY_NAME
from cymba.rights.readable import READ_ME
from cymba.rights.receipts import OF_ALL, OF_DEVICES, TITLE
from cymba.stimulation.wire.channels import CHANNELS
from service.http.field_texts import TEMPLATES as TEMPLATES_OF_FIELDS
from service.http.problems import PROBLEMS

ROOT = Path(__file__).parents[1]


def _of_items() -> Iterator[str]:
    for item in ITEMS.values():
        yield from (item.title, item.note, *item.value.options.values())
        if isinstance(item.value, Answers):
            yield from item.value.questions


OF_TABLES: dict[str, set[str]] = {
    "consents": {text for one in PURPOSES.values() for text in (one.title, one.text)},
    "questions": {one.text for one in QUESTIONS},
    "locks": {*LOCKS, SEEK_CARE, *RED_FLAGS.values(), *REFUSAL_CODES.values(), NO_REASON},
    "diary": {*_of_items(), *(one.title for one in CONDITIONS.values())} - {""},
    "letters": {text for letter in LETTERS for text in letter},
    "insights": {*TEMPLATES, *CAPTIONS, *(one.title for one in EXPOSURES)}
    | {one.title for one in OUTCOMES.values()},
    "imports": {*REASONS.values(), *FAILURES.values(), *(one.title for one in KINDS.values())},
    "reports": {*REPORT_TEXTS},
    "channels": {one.title for one in CHANNELS.values()},
    "rights": {
        READ_ME,
        TITLE,
        *(text for what_and_why in (*OF_DEVICES, *OF_ALL) for text in what_and_why),
    }
    | {holding.about for holding in BY_NAME.values()},
    "fields": {*TEMPLATES_OF_FIELDS},
    "problems": {title for _, title in PROBLEMS.values()},
}


class CodeText(NamedTuple):
    """A text in the code. None: it is put together there, and no catalogue can hold it."""

    where: str
    text: str | None
    expression: str


def of_code() -> list[CodeText]:
    """The texts of errors, of their fields, and those that are marked by `said`."""
    return [
        one
        for folder in ("cymba", "service")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for one in _of_module(path)
    ]


def _of_module(path: Path) -> Iterator[CodeText]:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    for node in ast.walk(ast.parse(path.read_text())):
        for said in _texts_in(node):
            where = f"{path.relative_to(ROOT)}:{said.lineno}"
            yield from (CodeText(where, text, ast.unparse(said)) for text in _read(said, module))


def _errors(kind: type[DomainError] = DomainError) -> Iterator[str]:
    yield kind.__name__
    for below in kind.__subclasses__():
        yield from _errors(below)


def _texts_in(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=ast.Attribute(attr="ValidationError"), args=[text, *_]):
            yield text
        case ast.Call(func=ast.Name(id="said"), args=[text]):
            yield text
        case ast.Call(func=ast.Name(id="problem"), args=[_, text]):
            yield text
        case ast.Call(func=ast.Name(id=name), args=[text, *_]) if name in {*_errors()}:
            yield text
        case ast.Call(func=ast.Name(id="Violation" | "NoAddress" | "Charge"), args=[*_, text]):
            yield text
        case ast.Assign(targets=[ast.Name(id="detail" | "noun")], value=text):
            yield text
        case ast.AnnAssign(target=ast.Name(id="detail" | "noun"), value=ast.expr() as text):
            yield text
        case ast.Yield(value=ast.Tuple(elts=[ast.expr(), text])):
            yield text
        case ast.FunctionDef(name=name) if name.endswith("problem"):
            returned = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
            yield from (one for one in returned if one is not None)
        case ast.Dict(keys=[ast.Constant(value="pointer" | "parameter"), ast.Constant("detail")]):
            yield node.values[1]


def _read(text: ast.expr, module: ModuleType) -> Iterator[str | None]:
    match text:
        case ast.Constant(value=str() as constant):
            yield constant
        case ast.Constant(value=None):
            return
        case ast.Call(func=ast.Name(id="said")):
            return  # it is found by itself
        case ast.IfExp(body=one, orelse=other):
            yield from (*_read(one, module), *_read(other, module))
        case ast.Name(id=name) if isinstance(getattr(module, name, None), str):
            yield getattr(module, name)
        case ast.JoinedStr() | ast.BinOp():
            yield None
