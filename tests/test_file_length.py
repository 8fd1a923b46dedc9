"""No file of code is longer than a reader holds in mind."""

from pathlib import Path

MOST_LINES = 400
KINDS = {".py", ".js", ".mjs", ".ts", ".tsx", ".css", ".html", ".sh", ".conf", ".toml"}
MADE_BY_TOOLS = {"build", "dist", "generated", "node_modules", "__pycache__"}
# The first schema: a migration stays as it was written.
LONGER = {"migrations/versions/0001_create_accounts_devices_sessions.py"}


def test_no_file_is_longer_than_400_lines() -> None:
    top = Path(__file__).parent.parent
    lengths: dict[str, int] = {}
    for folder in (one for one in top.iterdir() if one.is_dir() and one.name[0] != "."):
        for path in folder.rglob("*"):
            inside = path.relative_to(top)
            if path.suffix in KINDS and not MADE_BY_TOOLS.intersection(inside.parts):
                lengths[str(inside)] = len(path.read_text().splitlines())
    assert len(lengths) > 500
    too_long = {name: length for name, length in lengths.items() if length > MOST_LINES}
    assert too_long.keys() - LONGER == set(), too_long
