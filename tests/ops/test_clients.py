"""`cymba client`: an operator registers apps of others, lists and removes them."""

import re

import pytest
from click.testing import CliRunner

from cymba.errors import Rejected
from cymba.settings import Settings
from ops.commands.client import client
from ops.exits import Exit

BACK = "https://app.example.org/back"


@pytest.fixture
def run(settings, tmp_path):
    given = Settings(database_url=settings["DATABASE_URL"], data_dir=tmp_path / "data")

    def run(*words):
        done = CliRunner().invoke(client, words, obj=given, catch_exceptions=False)
        assert done.exit_code == Exit.DONE
        return done.output

    return run


def test_an_app_is_registered_listed_and_removed(run):
    public = run("add", "Heart  Diary", "--redirect-uri", BACK)
    (client_id,) = re.fullmatch(r"client id  (\S{36})\n", public).groups()
    kept = run("add", "Clinic", "--redirect-uri", BACK, "--confidential")
    assert re.search(r"^secret     \S{43}$", kept, re.MULTILINE)
    listed = run("list").splitlines()
    assert listed[0].startswith(client_id)
    assert "Heart Diary" in listed[0]
    assert len(listed) == 2
    assert "removed" in run("remove", client_id)
    assert client_id not in run("list")


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example.org/back",
        "https:///back",
        "https://ada@app.example.org/back",
        "https://app.example.org/back#part",
        "https://app.example.org/a b",
        "https://[::1/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/back",
        "/back",
        "",
    ],
)
def test_where_nobody_can_be_sent_back_to(run, uri):
    with pytest.raises(Rejected):
        run("add", "Heart Diary", "--redirect-uri", uri)


@pytest.mark.parametrize(
    "uri",
    [BACK, "http://127.0.0.1:3000/back", "http://localhost/", "org.example.app:/back"],
)
def test_where_people_are_sent_back_to(run, uri):
    assert "client id" in run("add", "Heart Diary", "--redirect-uri", uri)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "Heart\x1b[2J", "Heart \u202eyraiD"])
def test_what_is_no_name(run, name):
    with pytest.raises(Rejected):
        run("add", name, "--redirect-uri", BACK)
