"""`cymba bridge` with its two threads under cProfile; the profiles go to standard error."""

import cProfile
import pstats
import sys
from collections.abc import Callable
from typing import Any

from mqtt_bridge import network, writer
from ops.cli import main

LINES = 40


def under_profile(name: str, run: Callable[[Any], None]) -> Callable[[Any], None]:
    def profiled(thread: Any) -> None:
        profile = cProfile.Profile()
        try:
            profile.runcall(run, thread)
        finally:
            print(f"\n== the {name} thread", file=sys.stderr)
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(LINES)

    return profiled


if __name__ == "__main__":
    for name, kind in (("writer", writer.Writer), ("network", network.NetworkThread)):
        kind._run = under_profile(name, kind._run)  # type: ignore[assignment,method-assign]  # noqa: SLF001
    main()
