"""Sets one report as a PDF, in a process of its own: `python -m cymba.reports.typesetter`.

It reads JSON from its standard input and writes the PDF to its output. Whatever it is given, it
takes no more than these seconds of a processor and this much memory; who started it ends it if it
takes too long (`typesetting`). It reaches no network: the template asks for no package.
"""

import importlib.util
import json
import resource
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

PROCESSOR_S = 10
MEMORY_BYTES = 1_500_000_000
STANDARD = "ua-1"  # PDF/UA: tagged, so that it can be read aloud
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "LastResortHE-Regular.ttf")
"""Of matplotlib's, which the pictures are drawn with. The last has a sign for every character that
no other font has: what cannot be shown is seen to be there."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    if sys.platform == "linux":  # macOS keeps to no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    given = json.load(sys.stdin.buffer)
    import typst  # noqa: PLC0415 - 40 MB, within the limits and in no process that serves

    template = (files("cymba.reports") / "report.typ").read_bytes()
    pictures = {name: svg.encode() for name, svg in given["pictures"].items()}
    with TemporaryDirectory() as fonts:
        _lay_out(Path(fonts))
        pdf: bytes = typst.compile(
            {"main.typ": template, **pictures},
            font_paths=[fonts],
            ignore_system_fonts=True,  # the same report on every machine
            sys_inputs={"data": json.dumps(given["data"])},
            pdf_standards=STANDARD,
            timestamp=given["timestamp"],
        )
    sys.stdout.buffer.write(pdf)


def _lay_out(fonts: Path) -> None:
    """Only these: to look through all of matplotlib's takes longer than to set a report."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.submodule_search_locations is None:
        raise LookupError("matplotlib is not installed: its fonts are needed")
    folder = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    for name in FONTS:
        (fonts / name).symlink_to(folder / name)


if __name__ == "__main__":
    main()
