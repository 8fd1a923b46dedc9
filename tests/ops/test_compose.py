"""What docker-compose.yml promises of each service, and of the image."""

import re
import tomllib

import pytest

from tests.end_to_end.parts import ROOT
from tests.ops.compose_file import RAW, SECRETS, SERVICES

ONE_SHOT = {"migrate"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert str(service["user"]).partition(":")[0] not in {"", "0", "root"}
    assert re.search(r":[0-9][^:]*$|^cymba(-pgbouncer)?$|:v[0-9][^:]*$", service["image"])
    assert "privileged" not in service
    assert re.fullmatch(r"[0-9]+[mg]", service["mem_limit"])
    assert int(service["pids_limit"]) <= 512
    assert 256 <= int(service["cpu_shares"]) <= 2048
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    kept = service["logging"]["options"]
    assert int(kept["max-size"].removesuffix("m")) * int(kept["max-file"]) <= 100
    assert ("healthcheck" in service) is (name not in ONE_SHOT)


HOSTS = re.compile("(?:@|//)(" + "|".join(SERVICES) + r"):[0-9]+")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_meets_those_that_it_speaks_with(name: str) -> None:
    networks = set(SERVICES[name]["networks"])
    assert networks <= RAW["networks"].keys()
    spoken_with = set(
        HOSTS.findall(" ".join(map(str, SERVICES[name].get("environment", {}).values())))
    )
    if name == "proxy":
        spoken_with.add("api")
    for other in spoken_with:
        assert networks & set(SERVICES[other]["networks"]), f"{name} does not reach {other}"


def members(network: str) -> set[str]:
    return {name for name, service in SERVICES.items() if network in service["networks"]}


def test_what_speaks_with_nobody_outside_reaches_nobody_outside() -> None:
    inside = {name for name, network in RAW["networks"].items() if (network or {}).get("internal")}
    outside = {name for name, one in SERVICES.items() if set(one["networks"]) - inside}
    assert outside == {"proxy", "api", "mosquitto", "mail", "prometheus", "grafana"}


def test_a_network_has_no_member_that_needs_it_not() -> None:
    def with_variable(variable: str) -> set[str]:
        return {name for name, one in SERVICES.items() if variable in one.get("environment", {})}

    showing = {name for name in SERVICES if "9100" in str(SERVICES[name])}
    assert members("data") == with_variable("CYMBA_DATABASE_URL") | {"db", "pgbouncer"}
    assert members("broker") == with_variable("CYMBA_BROKER_URL") | {"mosquitto"}
    assert members("metrics") == showing | {"prometheus"}
    assert members("people") == {"proxy", "api"}
    assert members("devices") == {"mosquitto"}
    assert members("watching") == {"prometheus", "grafana"}
    assert members("outward") == {"mail"}


def test_images_of_others_can_be_pinned_by_their_digests() -> None:
    example = (ROOT / ".env.example").read_text()
    for name, service in RAW["services"].items():
        if "build" not in service:
            variable = re.fullmatch(r"\$\{(\w+_IMAGE):-(.+)\}", service["image"])
            assert variable, name
            assert f"#{variable[1]}={variable[2]}@sha256:" in example
    base = RAW["services"]["api"]["build"]["args"]["PYTHON_IMAGE"]
    used = [(ROOT / "Dockerfile", base), (ROOT / "deploy" / "pgbouncer" / "Dockerfile", None)]
    for file, given in used:
        text = file.read_text()
        default = re.search(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE)
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {f"${{{default[1]}}}"}
        assert given in {None, f"${{{default[1]}:-{default[2]}}}"}


def test_a_service_of_a_profile_stops_nobody_who_does_without() -> None:
    optional = {name for name, service in SERVICES.items() if "profiles" in service}
    assert optional == {"pgbouncer", "prometheus", "grafana"}
    for name in SERVICES.keys() - optional:
        for other, how in SERVICES[name].get("depends_on", {}).items():
            assert other not in optional or how["required"] is False, f"{name} needs {other}"


def test_the_keys_are_the_apis_alone() -> None:
    holding = {name for name, one in SERVICES.items() if "data:/data" in one.get("volumes", [])}
    assert holding == {"api"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_written_down(name: str) -> None:
    for variable, value in RAW["services"][name].get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|URL", variable) and not value.endswith("//mosquitto:1883"):
            # From the environment: required there, or empty without it.
            assert re.search(r"\$\{\w+:(\?|-\})", value), f"{variable} of {name}"


def test_every_secret_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    asked_for = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert asked_for == set(SECRETS)
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in asked_for)


def test_only_migrations_work_as_the_owner_of_the_tables() -> None:
    for name, service in SERVICES.items():
        url = service.get("environment", {}).get("CYMBA_DATABASE_URL", "")
        owner = f"//{SERVICES['db']['environment']['POSTGRES_USER']}:"
        assert (owner in url) is (name == "migrate"), name


def test_the_api_is_reached_through_its_proxy_alone() -> None:
    # It believes whom the one proxy names; tests/service/http/served runs the two.
    assert "ports" not in SERVICES["api"]
    assert SERVICES["api"]["environment"]["CYMBA_TRUSTED_PROXIES"] == "1"
    published = [str(port).rpartition(":")[2] for port in SERVICES["proxy"]["ports"]]
    listened = re.findall(
        r"^\s*listen (\d+)",
        "".join((ROOT / "deploy" / "nginx" / f"{n}.conf").read_text() for n in ("nginx", "tls")),
        re.MULTILINE,
    )
    assert published == listened
    asked = (ROOT / "deploy" / "nginx" / "entrypoint.sh").read_text()
    assert f"http://api:{SERVICES['api']['command'][2]};" in asked


def test_the_image_is_not_roots_and_its_parts_are_locked() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE) == ["10001:10001"]
    for line in re.findall(r"pip install.*", dockerfile):
        assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for folder in project["tool"]["importlinter"]["root_packages"]:
        assert f"COPY {folder} {folder}" in dockerfile
        assert f"!{folder}/" in (ROOT / ".dockerignore").read_text()
