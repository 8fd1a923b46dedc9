import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.stimulation.archive.integer_columns import NotIntegers, pack_integers, unpack_integers

INT64 = st.integers(-(2**63), 2**63 - 1)
NEARBY = st.integers(2**31 - 3, 2**31 + 3)


@given(st.lists(st.one_of(INT64, NEARBY, st.sampled_from([0, 1])), max_size=200))
def test_numbers_come_back(values: list[int]) -> None:
    assert unpack_integers(pack_integers(values), len(values)).tolist() == values


@pytest.mark.parametrize(
    ("values", "at_most_bytes"),
    [
        ([7] * 10_000, 0),
        ([83 - i // 600 for i in range(3_600)], 80),
        ([1_500 if i // 30 % 2 else 0 for i in range(3_600)], 120),
        (list(range(10_000)), 80),
    ],
    ids=["constant", "rare steps", "on and off", "counter"],
)
def test_what_hardly_changes_takes_hardly_anything(values: list[int], at_most_bytes: int) -> None:
    packed = pack_integers(values)
    assert isinstance(packed, int) if at_most_bytes == 0 else len(packed) <= at_most_bytes  # type: ignore[arg-type]
    assert unpack_integers(packed, len(values)).tolist() == values


def test_noise_takes_little_more_than_its_entropy() -> None:
    values = np.random.default_rng(1).integers(0, 64, 3_600)
    assert len(pack_integers(values.tolist())) <= 3_600 * 6 / 8 * 1.05  # type: ignore[arg-type]


@pytest.mark.parametrize("damaged", [b"", b"x", b"p", b"pco!", b"1", b"8x", [1, 2]])
def test_names_bytes_that_are_no_column(damaged: bytes | list[int]) -> None:
    with pytest.raises(NotIntegers):
        unpack_integers(damaged, 3)


@pytest.mark.parametrize("count", [511, 513, 1_026, 1_538, 2_047, 2_049, 4_097, 262_145])
@pytest.mark.parametrize("period", [0.5, 2.0, 7.0])
def test_lengths_at_which_pcodec_would_convolve_past_its_batch_come_back(
    count: int, period: float
) -> None:
    noise = np.random.default_rng(count).normal(0, 3, count)
    values = (830 + 40 * np.sin(np.arange(count) / period) + noise).astype(int).tolist()
    assert unpack_integers(pack_integers(values), count).tolist() == values
