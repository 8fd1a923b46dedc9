"""The commands, which compose all parts of Cymba."""

import os

# Before NumPy is imported. Its matrices here are small: threads that wait for each other cost more
# than they save, in findings 2.5 times the processor's time. More people at once need more
# processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
