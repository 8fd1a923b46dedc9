"""Benchmarks and calibrations, with one thread each as Cymba's own processes have (`ops`)."""

import ops  # noqa: F401 - before NumPy
