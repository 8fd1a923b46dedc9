"""What it costs to read the worst payloads, by their shape.

python -m benchmarks.bench_decode

Processor time of one payload of 16 KiB, the best of nine: of the whole reading with its
explanation, and of the number alone, which is all that is read for a refusal.
"""

import time
from collections.abc import Callable

from benchmarks.shapes import SHAPES
from cymba.stimulation.wire.frames import decode
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES
from cymba.stimulation.wire.parsing import read_number

LIMIT_MS = 5.0
TIMES = 9


def cost_ms(read: Callable[[bytes], object], payload: bytes) -> float:
    spent_ns = []
    for _ in range(TIMES):
        began_ns = time.process_time_ns()
        read(payload)
        spent_ns.append(time.process_time_ns() - began_ns)
    return min(spent_ns) / 1e6


def main() -> None:
    print(f"{'shape':42}{'bytes':>7}{'read, ms':>10}{'number, ms':>12}")
    worst_ms = 0.0
    for name, shape in SHAPES.items():
        payload = shape(MAX_PAYLOAD_BYTES)
        assert len(payload) <= MAX_PAYLOAD_BYTES, name
        read_ms, number_ms = cost_ms(decode, payload), cost_ms(read_number, payload)
        worst_ms = max(worst_ms, read_ms, number_ms)
        print(f"{name:42}{len(payload):7,}{read_ms:10.2f}{number_ms:12.2f}")
    print(f"\nthe worst: {worst_ms:.2f} ms (at most {LIMIT_MS:g})")
    assert worst_ms <= LIMIT_MS


if __name__ == "__main__":
    main()
