import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cymba.whole_file import replaced


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield int(request.param)
    os.umask(before)


def test_its_rights_are_those_that_it_is_to_have_also_over_another(
    tmp_path: Path, umask: int
) -> None:
    path = tmp_path / "file"
    path.write_text("of everybody")
    path.chmod(0o666)
    for mode in (0o600, 0o644):
        with replaced(path, mode) as out:
            assert {rights(one) for one in tmp_path.iterdir() if one != path} == {mode & ~umask}
            out.write(b"whole")
        assert (path.read_bytes(), rights(path)) == (b"whole", mode & ~umask)


def test_what_breaks_off_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def write() -> None:
        with replaced(path) as out:
            out.write(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_at_once_leave_one_of_the_two_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replaced(path) as one:
        one.write(b"one, ")
        with replaced(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
        one.write(b"whole")
    assert path.read_bytes() == b"one, whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    left, of_another = tmp_path / ".file.0a1b2c3d.part", tmp_path / ".file.zip.0a1b2c3d.part"
    left.write_bytes(b"half")
    of_another.write_bytes(b"half")
    just_made = tmp_path / ".file.11111111.part"  # by another process, which does not hold it yet
    just_made.touch()
    pipe = tmp_path / ".file.00000000.part"  # of somebody who wants this to wait for them
    os.mkfifo(pipe)
    with replaced(tmp_path / "file") as out:
        out.write(b"whole")
    assert {*tmp_path.iterdir()} - {pipe} == {of_another, just_made, tmp_path / "file"}


def test_its_name_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, names, fsync = tmp_path / "file", [], os.fsync

    def synced(opened: int) -> None:
        names.append((os.path.samestat(os.fstat(opened), tmp_path.stat()), path.exists()))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", synced)
    with replaced(path) as out:
        out.write(b"whole")
    assert names == [(False, False), (True, True)]


def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path: Path) -> None:
    """Whoever may write the folder could have had us write elsewhere."""
    path, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    path.symlink_to(elsewhere)
    with replaced(path) as out:
        out.write(b"ours")
    assert elsewhere.read_bytes() == b"theirs"
    assert not path.is_symlink()
