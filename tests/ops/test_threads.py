"""The commands leave the processor's cores to processes, and not to threads of NumPy."""

import os
import subprocess
import sys


def test_numpy_has_one_thread_in_every_process() -> None:
    says = "import os, sys, ops; print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules)"
    without = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    run = subprocess.run(
        [sys.executable, "-c", says], capture_output=True, text=True, env=without, check=True
    )
    assert run.stdout.split() == ["1", "False"]  # NumPy reads it once, when it is imported
