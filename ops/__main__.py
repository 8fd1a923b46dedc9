"""`cymba`, and `python -m ops` where that script is not on the path."""

import gc

gc.disable()  # until the command is imported (`ops.cli`)

from ops.cli import main  # noqa: E402 - what is imported is not to be looked through meanwhile


def run() -> None:
    main(prog_name="cymba")


if __name__ == "__main__":
    run()
