"""The pages of docs/ are wrapped, and the architecture names every folder of the tree."""

import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
MOST_CHARACTERS = 100


@pytest.mark.parametrize("page", sorted(TOP.glob("docs/*.md")), ids=lambda page: page.name)
def test_prose_is_wrapped(page: Path) -> None:
    """Tables and what stands between ``` cannot be."""
    is_code, too_long = False, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith("|") and len(line) > MOST_CHARACTERS:
            too_long.append(number)
    assert too_long == []


def test_the_architecture_has_a_sentence_for_every_folder() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=TOP, check=True, capture_output=True, text=True
    ).stdout
    folders = {file.partition("/")[0] for file in files.split() if "/" in file}
    shown = (TOP / "docs/architecture.md").read_text()
    missing = {
        name for name in folders if not name.startswith(".") and f"| `{name}/` |" not in shown
    }
    assert missing == set()
