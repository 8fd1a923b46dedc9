"""`cymba bridge` with its writer thread under cProfile; the profile goes to standard error."""

import cProfile
import pstats
import sys

from mqtt_bridge import writer
from ops.cli import main

_run = writer.Writer._run  # noqa: SLF001 - the thread's own function is what is looked into


def profiled(self: writer.Writer) -> None:
    profile = cProfile.Profile()
    try:
        profile.runcall(_run, self)
    finally:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    writer.Writer._run = profiled  # type: ignore[method-assign]  # noqa: SLF001
    main()
