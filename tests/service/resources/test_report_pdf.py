"""The printed report: its numbers, its tags, its text as it was written, and its limits."""

import re
import subprocess
import sys
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.reports import typesetting
from cymba.reports.document import PrintedReport, document_of
from cymba.voice import Voice
from service.http.examples import example_of
from service.shapes.history import HistoryPeriodSchema
from service.shapes.report_schema import ReportRedFlagSchema, ReportSchema
from simulator.people import World
from tests.insights.people import agree, live_in_database, refresh
from tests.programs import PDFTOTEXT, QPDF, needs

pytestmark = [needs("pdftotext"), needs("qpdf")]

DAYS = 60
HOSTILE = "#set text(red) $x^2$ *b* _i_ @a <b> \\ `raw` // no [x] #(1+1)"
STRANGE = "مرحبا שלום 😀 漢字"


@pytest.fixture
def pdf(client, person):
    def get(**query):
        response = client.get("/v1/report.pdf", query_string=query, headers=person.headers)
        assert response.status_code == 200, response.json
        assert response.mimetype == "application/pdf"
        return response.data

    return get


@pytest.fixture
def speaks(engine, person):
    def change(**fields):
        with UnitOfWork(engine) as session, session.begin():
            session.execute(update(Account).where(Account.id == person.id).values(**fields))

    return change


@pytest.fixture
def months(engine, person):
    with UnitOfWork(engine) as session:
        agree(session, person.id, "insights")
        first_day = (utc_now() - timedelta(days=DAYS)).date()
        world = World(days=DAYS, effect=-1.0)
        live_in_database(session, person.id, world, seed=3, first_day=first_day)
        session.commit()
        refresh(session, person.id)


def text_of(pdf: bytes) -> str:
    """As one line, without what only breaks it."""
    return " ".join(extracted(pdf, "-layout").replace("\u200b", "").split())


def extracted(pdf: bytes, how: str) -> str:
    command = [PDFTOTEXT or "", how, "-", "-"]
    return subprocess.run(command, input=pdf, capture_output=True, check=True).stdout.decode()


def document(**changes):
    data = {
        "language": "en", "title": "A title", "name": "", "days": "", "made": "", "notice": "",
        "page": "Page {page} of {pages}", "blocks": [],
    }  # fmt: skip
    return PrintedReport(data | changes, {})


@pytest.mark.usefixtures("months")
def test_every_number_is_that_of_the_answer(client, person, pdf, speaks):
    for locale in ("en", "de"):
        speaks(locale=locale)
        voice = Voice.of(locale)
        report = client.get("/v1/report", headers=person.headers).json
        told = text_of(pdf())
        whole = report["use"]["whole"]
        expected = [voice.number(whole["sessions"], 0), voice.number(whole["stimulating_min"], 0)]
        for period in report["use"]["periods"]:
            row = [
                "–" if period[name] is None else voice.number(period[name], 0)
                for name in ("stimulating_min", "days_with_session")
            ]
            means = {one["item"]: one["mean"] for one in period["symptoms"]}
            row += [str((date_of(period["last_day"]) - date_of(period["first_day"])).days + 1
                        - period["days_known"])]  # fmt: skip
            for item in ("pain_now", "mood", "sleep_quality"):
                row.append(voice.number(means[item], 1) if item in means else "–")
            expected.append(" ".join(row))
        for one in whole["symptoms"]:
            expected.append(f"{voice.number(one['mean'], 1)} {voice.number(one['ratings'], 0)}")
        for one in report["findings"]["primary"]:
            expected.append(one["sentence"])
            if one["effect"] is not None:
                ends = [voice.number(one[name], 2) for name in ("effect", "low", "high")]
                to = "to" if locale == "en" else "bis"
                expected.append(f"{ends[0]} ({ends[1]} {to} {ends[2]})")
        assert len(expected) > 15
        assert [one for one in expected if one not in told] == []


def date_of(day: str) -> date:
    return date.fromisoformat(day)


def test_it_is_tagged_sound_and_in_its_language(pdf, speaks, tmp_path):
    speaks(locale="de", name="Ada")
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf())
    checked = subprocess.run([QPDF or "", "--check", path], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    shown = subprocess.run([QPDF or "", "--qdf", "--object-streams=disable", path, "-"],
                           capture_output=True, check=True).stdout  # fmt: skip
    assert b"/MarkInfo" in shown
    assert b"/Lang (de)" in shown
    assert b"<pdfuaid:part>1</pdfuaid:part>" in shown
    assert "Bericht für die Praxis" in text_of(path.read_bytes())


def test_what_a_person_wrote_is_printed_as_text(client, person, pdf, speaks):
    """Markup, other scripts, and names as long as they may be."""
    speaks(name=HOSTILE)
    names = [HOSTILE, STRANGE, "Mittel" * 33, "\u202eesrever", "a\nb"]
    taken = [{"name": name, "dose": "#panic()"} for name in names]
    body = {"felt_at": utc_now().isoformat(), "time_zone": "UTC", "items": {"medication": taken}}
    made = client.put(f"/v1/diary/{uuid4()}", json=body, headers=person.headers)
    assert made.status_code == 201
    told = pdf()
    letters = re.sub(r"[\s\u200b\u202a-\u202e]", "", extracted(told, "-raw"))
    assert letters.count(re.sub(r"\s", "", HOSTILE)) == 2
    for part in ("😀", "漢字", "שלום", "مرحبا", "Mittel" * 33, "#panic()", "esrever", "ab"):
        assert part in letters, part


def test_a_text_without_end_is_cut_and_hurts_nobody():
    """4,000 characters, as no route takes them: what came before there was a limit."""
    long = {"kind": "text", "text": HOSTILE * 70, "look": "plain"}
    told = typesetting.typeset(document(blocks=[long]), made_on=date(2026, 3, 1))
    assert len(text_of(told)) > 3_000


def test_an_unchanged_report_is_not_made_again(client, person, monkeypatch):
    first = client.get("/v1/report.pdf", headers=person.headers)
    again = client.get("/v1/report.pdf", headers=person.headers)
    assert (first.data, first.headers["ETag"]) == (again.data, again.headers["ETag"])
    monkeypatch.setattr(typesetting, "typeset", None)
    headers = person.headers | {"If-None-Match": first.headers["ETag"]}
    assert client.get("/v1/report.pdf", headers=headers).status_code == 304


def test_a_visitor_reads_it_in_their_own_language(client, person):
    expires_at = (utc_now() + timedelta(days=7)).isoformat()
    wanted = {"label": "Dr. Weber", "scopes": ["report"], "expires_at": expires_at}
    token = client.post("/v1/shares", json=wanted, headers=person.headers).json["token"]
    headers = {"Authorization": f"Bearer {token}", "Accept-Language": "de"}
    shared = client.get("/v1/report.pdf", headers=headers)
    assert shared.headers["Content-Language"] == "de"
    assert "Bericht für die Praxis" in text_of(shared.data)


@pytest.mark.parametrize("child", ["import time; time.sleep(60)", "x = 'x' * 10**10"])
def test_one_that_cannot_be_made_is_a_problem_and_holds_nobody(client, person, monkeypatch, child):
    """It hangs, or takes all memory: the process is ended, and the next report is made."""
    run = subprocess.run
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9)); "

    def run_child(_command, **options):
        return run([sys.executable, "-c", limit + child], **options)

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", run_child)
        patched.setattr(typesetting, "LONGEST_S", 1.0)
        refused = client.get("/v1/report.pdf", headers=person.headers)
    assert refused.status_code == 503
    assert refused.json["type"] == "urn:cymba:problem:report-not-made"
    assert client.get("/v1/report.pdf", headers=person.headers).status_code == 200


def test_no_secret_reaches_the_typesetter(monkeypatch):
    seen = {}
    run = subprocess.run

    def watched(command, **options):
        seen.update(options["env"])
        return run(command, **options)

    monkeypatch.setenv("CYMBA_SECRET_KEY", "a secret")
    monkeypatch.setattr(subprocess, "run", watched)
    typesetting.typeset(document(), made_on=date(2026, 3, 1))
    assert "a secret" not in seen.values()


def dated(value: Any) -> Any:
    """An example as it is before it is written as JSON."""
    match value:
        case dict():
            return {name: dated(held) for name, held in value.items()}
        case list():
            return [dated(held) for held in value]
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return date.fromisoformat(value)
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
            return datetime.fromisoformat(value)
    return value


def test_each_part_of_a_report_is_printed():
    """The document's example has one of each: a trial with its result, a programme, a red flag."""
    flag = example_of(ReportRedFlagSchema)
    lifted = flag | {"lifted_at": flag["felt_at"], "lifted_note": "Dr. Weber, 2026-03-04"}
    report = dated(example_of(ReportSchema) | {"red_flags": [flag, lifted]})
    days = [dated(example_of(HistoryPeriodSchema))] * 3
    voice = Voice.of("en")
    told = text_of(typesetting.typeset(document_of(report, days, voice), made_on=date(2026, 3, 1)))
    (trial,) = report["trials"]
    ends = [voice.number(trial["result"][name], 2) for name in ("effect", "low", "high")]
    for said in (
        f"{ends[0]} ({ends[1]} to {ends[2]}), p = 0.012. Pairs: 21.",
        "1.50 mA, 25.0 Hz, 250 µs, 30 s on, 30 s off, 30 min",
        "Chest pain, on Mar 1, 2026. It still locks the device.",
        "clinician saw it: Dr. Weber, 2026-03-04.",
        "Pregabalin 75 mg 24 Mar 2, 2026 Mar 26, 2026",
        "Left ear (Ear, cymba conchae), serial number EY4T7KQ2M9XD",
        "Page 1 of",
    ):
        assert said in told, said
