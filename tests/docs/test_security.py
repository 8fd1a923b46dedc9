"""The pages on security name tests that there are."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
DOCS = TESTS.parent / "docs"


@pytest.mark.parametrize("page", ["security.md", "asvs.md"])
def test_every_test_that_is_named_is_there(page: str) -> None:
    text = (DOCS / page).read_text()
    files = {str(file.relative_to(TESTS)) for file in TESTS.rglob("test_*.py")}
    names = {file.rpartition("/")[2] for file in files}
    functions = {
        name
        for file in files
        for name in re.findall(r"^def (test_\w+)", (TESTS / file).read_text(), re.MULTILINE)
    }
    named = re.findall(r"`((?:tests/)?[\w/]*test_\w+(?:\.py)?)`", text)
    assert len(named) > 20
    for one in named:
        found = one.removeprefix("tests/")
        if not found.endswith(".py"):
            assert found in functions, one
        elif "/" in found:
            assert found in files, one
        else:  # beside the one named before it
            assert found in names, one
