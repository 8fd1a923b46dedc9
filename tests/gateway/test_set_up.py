"""What `cymba gateway set-up` asks, writes and refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cymba.devices import models
from cymba.devices.models import MODELS
from cymba.settings import Settings
from gateway.config import read_config
from gateway.limits import Allowed, allowance
from gateway.store import FrameStore
from ops.commands.gateway import gateway
from ops.exits import Exit

CREDENTIALS = """serial,device_id,secret,claim_code,model,programme_key
NB-1,band-0001,a-secret,ABCD,neck_band,
NB-2,band-0002,another,EFGH,neck_band,
"""


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "band.csv"
    path.write_text(CREDENTIALS)
    return path


def set_up(tmp_path: Path, credentials: Path, *more: str, device: str = "band-0001") -> Result:
    words = [
        "set-up", "--credentials", str(credentials), "--device", device,
        "--server", "mqtts://cymba.example.org", "--address", "AA:BB", *more,
    ]  # fmt: skip
    return CliRunner().invoke(gateway, words, obj=Settings(data_dir=tmp_path))


def test_a_band_is_set_up_with_its_persons_own_limits(tmp_path: Path, credentials: Path) -> None:
    run = set_up(tmp_path, credentials, "--highest-level", "3", "--longest-minutes", "2")
    assert run.exit_code == Exit.DONE, run.output
    assert "a-secret" not in run.output
    config = read_config(tmp_path / "gateway")
    assert config.model == MODELS["neck_band"]
    assert config.programme_key is None  # the file has none
    store = FrameStore(tmp_path / "gateway")
    assert allowance(config, store, 9, 0) == Allowed(highest_level=3, longest_s=120)
    shown = CliRunner().invoke(gateway, ["status"], obj=Settings(data_dir=tmp_path))
    assert "up to level 3, 2 min from now" in shown.output


def test_over_http_a_person_sets_their_own_limit(tmp_path: Path, credentials: Path) -> None:
    """An older server gives none that way."""
    over_http = ("--server", "https://cymba.example.org")
    refused = set_up(tmp_path, credentials, *over_http)
    assert refused.exit_code == Exit.USAGE
    assert "the app's limits may not arrive" in refused.output
    run = set_up(tmp_path, credentials, *over_http, "--highest-level", "4")
    assert run.exit_code == Exit.DONE


def test_another_device_takes_another_folder(tmp_path: Path, credentials: Path) -> None:
    """Else it would send what the first one recorded as its own."""
    assert set_up(tmp_path, credentials).exit_code == Exit.DONE
    refused = set_up(tmp_path, credentials, device="band-0002")
    assert refused.exit_code == Exit.USAGE
    assert "give another folder" in refused.output
    assert set_up(tmp_path, credentials, "--side", "left").exit_code == Exit.DONE


@pytest.mark.parametrize("flaw", [b'"', b'{"device_id": "band-0001"', b"[]", b"\xff", b""])
def test_a_set_up_that_cannot_be_read_is_replaced(
    tmp_path: Path, credentials: Path, flaw: bytes
) -> None:
    kept = tmp_path / "gateway" / "gateway.json"
    kept.parent.mkdir()
    kept.write_bytes(flaw)
    shown = CliRunner().invoke(gateway, ["status"], obj=Settings(data_dir=tmp_path))
    assert "set it up again" in shown.output
    run = set_up(tmp_path, credentials)
    assert run.exit_code == Exit.DONE, run.output
    assert read_config(kept.parent).device_id == "band-0001"


def test_a_set_up_whose_rest_cannot_be_read_still_says_whose_records_there_are(
    tmp_path: Path, credentials: Path
) -> None:
    assert set_up(tmp_path, credentials).exit_code == Exit.DONE
    kept = tmp_path / "gateway" / "gateway.json"
    kept.write_text(kept.read_text().replace('"kind"', '"no longer known"'))
    refused = set_up(tmp_path, credentials, device="band-0002")
    assert refused.exit_code == Exit.USAGE
    assert "give another folder" in refused.output
    assert set_up(tmp_path, credentials).exit_code == Exit.DONE
    assert read_config(kept.parent).kind == "neck-band"


def test_a_model_of_an_operator_is_kept_whole(tmp_path: Path, credentials: Path) -> None:
    shipped = (Path(models.__file__).parent / "shipped_models" / "neck_band.toml").read_text()
    document = shipped.replace('name = "neck_band"', 'name = "our_band"')
    (tmp_path / "our.toml").write_text(document)
    credentials.write_text(CREDENTIALS.replace("neck_band", "our_band"))
    assert "ships no model our_band" in set_up(tmp_path, credentials).output
    run = set_up(tmp_path, credentials, "--model-file", str(tmp_path / "our.toml"))
    assert run.exit_code == Exit.DONE, run.output
    assert read_config(tmp_path / "gateway").model.name == "our_band"


@pytest.mark.parametrize("model", ["ear_cymba", "implant"])
def test_a_model_that_is_not_set_by_level_is_refused(tmp_path, credentials, model) -> None:
    credentials.write_text(CREDENTIALS.replace("neck_band", model))
    refused = set_up(tmp_path, credentials)
    assert refused.exit_code == Exit.USAGE
    assert not (tmp_path / "gateway" / "gateway.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run"], "without one there is no stop key"),
        (["try"], "without one there is no stop key"),
        (["status"], "set-up"),
        (["send"], "set-up"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(tmp_path: Path, words: list[str], told: str) -> None:
    run = CliRunner().invoke(gateway, words, obj=Settings(data_dir=tmp_path))
    assert run.exit_code != Exit.DONE
    assert told in run.output
