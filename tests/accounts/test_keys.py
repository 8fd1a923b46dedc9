from concurrent.futures import ThreadPoolExecutor

import pytest

from cymba.accounts.keys import derive, load_secret
from cymba.settings import Settings, SettingsError


def test_a_secret_is_made_once_and_kept(tmp_path):
    settings = Settings(data_dir=tmp_path / "new")
    made = load_secret(settings)
    assert len(made) >= 32
    assert load_secret(settings) == made
    kept = tmp_path / "new" / "secret_key"
    assert kept.stat().st_mode & 0o077 == 0


def test_processes_that_start_together_agree(tmp_path):
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(load_secret, [settings] * 64))
    assert len(secrets) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_short_secret_stops_the_start(tmp_path):
    with pytest.raises(SettingsError, match="CYMBA_SECRET_KEY"):
        load_secret(Settings(data_dir=tmp_path, secret_key="too short"))


def test_each_purpose_has_its_own_key():
    secret = b"s" * 32
    assert derive(secret, "a") == derive(secret, "a")
    assert derive(secret, "a") != derive(secret, "b")
    assert derive(secret, "a") != derive(b"t" * 32, "a")
