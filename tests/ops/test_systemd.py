"""The units of deploy/systemd start what docker-compose.yml starts, and the page on them holds."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.parts import ROOT
from tests.ops.compose_file import BRIDGES, SECRETS, SERVICES
from tests.ops.deployment import OUTSIDE
from tests.ops.unit_files import (
    PAGE,
    SYSTEMD,
    Unit,
    block_with,
    given,
    lines_of,
    metrics_port,
    read_unit,
    wanted,
)

OF_DEBIAN = {"db", "pgbouncer", "prometheus", "grafana"}
UNITS = {
    name: "cymba-api@0" if name == "api" else f"cymba-{name.replace('bridge-', 'bridge@')}"
    for name in SERVICES
    if name not in OF_DEBIAN  # in the file's order, which each worker of the tests must share
}
PLACEHOLDERS = {
    "OWNER": "POSTGRES_PASSWORD",
    "SERVICE": "SERVICE_DATABASE_PASSWORD",
    "SIGNING": "CYMBA_SECRET_KEY",
    "BRIDGE": "BRIDGE_PASSWORD",
    "HEALTH": "HEALTH_PASSWORD",
}
KEY = "CYMBA_PROGRAMME_KEY_FILE"  # compose keeps it in a volume of the two


def unit(name: str) -> Unit:
    return read_unit(UNITS[name])


def variables(name: str) -> dict[str, str]:
    own = unit(name)
    found = dict(one.split("=", 1) for one in own["Environment"])
    for file in own.get("EnvironmentFile", []):
        if not file.startswith("-"):
            example = SYSTEMD / "environment" / Path(file).name
            found |= given(example)
    return {
        key: re.sub("@([A-Z]+)@", lambda found: SECRETS[PLACEHOLDERS[found[1]]], value)
        for key, value in found.items()
    }


def test_every_service_of_ours_has_a_unit_and_the_target_wants_each() -> None:
    assert set(wanted()) == {*UNITS.values(), "cymba-api@1"}
    files = {one.partition("@")[0] for one in UNITS.values()}
    assert {file.stem.rstrip("@") for file in SYSTEMD.glob("*.service")} == files


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_the_services_command(name: str) -> None:
    service, (command,) = SERVICES[name], unit(name)["ExecStart"]
    words = command.replace("%S/cymba-credentials", "/credentials").split()
    if "entrypoint" in service:
        assert words[:1] == service["entrypoint"][:1]
        folder = ROOT / "deploy" / Path(words[1]).parent.name
        assert (folder / Path(words[1]).name).is_file()
    else:
        assert words[0] == "/opt/cymba/bin/cymba"
        # On one host each needs a port of its own.
        same = [re.sub(r"\b9\d{3}$", "9100", word) for word in words[1:]]
        assert same == [str(word) for word in service["command"]]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_the_services_variables(name: str) -> None:
    of_service = {
        key: re.sub(r"\b(db|mosquitto)(?=:\d)", "127.0.0.1", str(value))
        for key, value in SERVICES[name].get("environment", {}).items()
        if key != "CYMBA_HTTP_HOST"  # this machine, where it is not set
    }
    own = variables(name)
    assert own.pop("PYTHONUNBUFFERED") == "1"  # as the image has it
    own.pop("PATH", None)
    if name in BRIDGES:
        of_service["CYMBA_METRICS_PORT"] = own["CYMBA_METRICS_PORT"]
    if name in OUTSIDE:  # where folders are, and the addresses that compose publishes
        assert own.keys() - of_service.keys() <= OUTSIDE[name].keys() | {"API"}
        own = {key: value for key, value in own.items() if key in of_service}
    assert (KEY in own) is any("data:/data" in one for one in SERVICES[name].get("volumes", []))
    own.pop(KEY, None)
    assert {key: re.sub(r"^%S/cymba-\w+$", "/data", v) for key, v in own.items()} == of_service


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_the_services_bounds_and_order(name: str) -> None:
    service, own = SERVICES[name], unit(name)
    assert own["MemoryMax"] == [service["mem_limit"].upper()]
    assert own["TasksMax"] == [str(service["pids_limit"])]
    assert own["CPUWeight"] == [str(service["cpu_shares"] * 100 // 1024)]
    assert own.get("TimeoutStopSec", []) == [
        value.removesuffix("s") for key, value in service.items() if key == "stop_grace_period"
    ]
    assert own.get("KillSignal", ["SIGTERM"]) == [service.get("stop_signal", "SIGTERM")]
    assert own["Restart"] == ["on-failure" if name == "migrate" else "always"]
    after = " ".join(own["After"])
    for other in service.get("depends_on", {}).keys() & UNITS.keys():
        assert f"{UNITS[other]}.service" in after
    # A name of its own only where others read what it writes, or it reads what others may not.
    assert own.get("DynamicUser") == (None if "User" in own else ["yes"])
    assert own.get("User") in (None, ["cymba-credentials"], ["mosquitto"])
    # `systemctl enable` of one alone does nothing without it, and says so only in passing.
    assert own.get("WantedBy") == ["multi-user.target"]


def ports() -> dict[str, list[str]]:
    """Where the processes of each service show their metrics."""
    found = {name: metrics_port(unit(name)) for name in UNITS}
    shown = {name: [str(port)] for name, port in found.items() if port is not None}
    shown["api"].append("9101")  # of @1
    return shown


def test_prometheus_asks_each_where_it_shows_its_metrics(tmp_path: Path) -> None:
    shown = sorted(port for many in ports().values() for port in many)
    assert len(shown) == len(set(shown)) == len(UNITS.keys() - OUTSIDE.keys() - {"migrate"}) + 1
    at = (
        block_with("prometheus.yml")
        .replace("/etc/prometheus", str(tmp_path))
        .replace("systemctl", "true")
    )
    subprocess.run(["/bin/sh", "-euc", at], check=True, cwd=ROOT)
    assert sorted(re.findall(r"127\.0\.0\.1:(\d+)", (tmp_path / "prometheus.yml").read_text())) == (
        shown
    )
    assert ":9100" not in (tmp_path / "prometheus.yml").read_text().replace("127.0.0.1:9100", "")


def test_the_page_makes_each_secret_and_tells_every_unit() -> None:
    examples = "".join(one.read_text() for one in SYSTEMD.glob("environment/*.env"))
    (made,) = re.findall(r"^for name in (.*); do$", PAGE, re.MULTILINE)
    assert set(made.split()) == set(re.findall("@([A-Z]+)@", examples)) == set(PLACEHOLDERS)
    for name, many in ports().items():
        row = f"`{UNITS[name].partition('@')[0]}"
        assert any(row in line and all(one in line for one in many) for line in PAGE.splitlines())


def test_no_secret_is_in_a_command_line(tmp_path: Path) -> None:
    """Everybody on the host may read those."""
    for program in ("mosquitto", "mosquitto_passwd", "sed", "openssl"):
        real = shutil.which(program) if program in {"sed", "openssl"} else None
        stub = tmp_path / program
        then = "cat >/dev/null" if real is None else f'{real} "$@"'
        stub.write_text(f'#!/bin/sh\necho "$0 $*" >>{tmp_path}/lines\n{then}\n')
        stub.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CONFORMANCE_PASSWORD": "listener-secret"}
    environ["BRIDGE_SLOTS"] = "2"
    etc = tmp_path / "etc"
    shutil.copytree(SYSTEMD / "environment", etc)
    (loop,) = re.findall(r"^for name in .*?^done$", PAGE, re.MULTILINE | re.DOTALL)
    subprocess.run(
        ["/bin/sh", "-euc", loop.replace("/etc/cymba", str(etc))], check=True, env=environ
    )
    made = dict(one for file in sorted(etc.glob("*.env")) for one in lines_of(file))
    assert "@" not in made["BRIDGE_PASSWORD"] != made["HEALTH_PASSWORD"]
    assert f":{made['BRIDGE_PASSWORD']}@" in made["CYMBA_BROKER_URL"]

    folder = ROOT / "deploy" / "mosquitto"
    environ |= {f"MOSQUITTO_{one}": str(etc) for one in ("RUN", "DATA", "TLS", "CREDENTIALS")}
    environ |= {"MOSQUITTO_CONFIG": str(folder)} | {
        name: made[name] for name in ("BRIDGE_PASSWORD", "HEALTH_PASSWORD")
    }
    subprocess.run(["/bin/sh", folder / "entrypoint.sh"], check=False, env=environ, timeout=60)
    lines = (tmp_path / "lines").read_text()
    assert [f"mosquitto_passwd {etc}/own-passwords {user}\n" in lines for user in
            ("health", "conformance", "bridge-0", "bridge-1")] == [True] * 4  # fmt: skip
    secrets = {value for name, value in environ.items() if name.endswith("_PASSWORD")}
    assert [one for one in secrets if one in lines] == []


def test_a_command_by_hand_knows_what_the_units_know(tmp_path: Path) -> None:
    """systemd takes a value as it stands; a shell takes it apart, unless it is in quotes."""
    script = (SYSTEMD / "cymba-run").read_text()
    named = re.findall(r"^\. /etc/cymba/(.+)$", script, re.MULTILINE)
    odd = "postgresql://h/c?a=1&b=2 $HOME #3"
    names = set()
    for file in named:
        lines = (SYSTEMD / "environment" / file).read_text()
        filled = re.sub(r"^(\w+=['\"]?).*?(['\"]?)$", rf"\1{odd}\2", lines, flags=re.MULTILINE)
        (tmp_path / file).write_text(filled)
        names |= {name for name, _ in lines_of(tmp_path / file)}
    (tmp_path / "setpriv").write_text("#!/bin/sh\nexec env -0\n")
    (tmp_path / "setpriv").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace("/etc/cymba", str(tmp_path))],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/root"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = dict(one.split("=", 1) for one in done.stdout.split("\0") if one)
    assert {name: told.get(name) for name in names} == dict.fromkeys(names, odd)


def test_a_version_is_installed_as_the_image_makes_it() -> None:
    build = (ROOT / "Dockerfile").read_text().split("\nFROM ")[1]
    image = [
        command.strip().replace("/opt/cymba/bin/", "")
        for run in re.findall(r"^RUN ((?:.*\\\n)*.*)", build, re.MULTILINE)
        for command in run.replace("\\\n", "").split("&&")
    ]
    script = (SYSTEMD / "install.sh").read_text()
    script = script.replace('"$to"', "/opt/cymba").replace("python3", "python")
    assert [line for line in script.splitlines() if line in image] == image
    # What makes the app and its client asks the installed package for its version.
    assert build.index(" --editable .\n") < build.index("python -m ops.")
