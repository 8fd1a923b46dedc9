"""`cymba model`: an operator adds a model from a file."""

from pathlib import Path

from click.testing import CliRunner

from cymba.devices.models import MODELS
from cymba.settings import Settings
from ops.commands.model import model
from ops.exits import Exit

SHIPPED = Path(__file__).parents[2] / "cymba" / "devices" / "shipped_models"
SCHEMA = Path(__file__).parents[2] / "docs" / "model.schema.json"


def test_a_model_is_added_from_a_file_and_listed(settings, tmp_path):
    given = Settings(database_url=settings["DATABASE_URL"], data_dir=tmp_path / "data")
    ours = (SHIPPED / "neck_band.toml").read_text().replace('"neck_band"', '"our_band"')
    file = tmp_path / "our-band.toml"
    file.write_text(ours)
    run = CliRunner()
    added = run.invoke(model, ["add", str(file)], obj=given, catch_exceptions=False)
    assert (added.exit_code, added.output) == (Exit.DONE, "our_band, version 1\n")
    again = run.invoke(model, ["add", str(file)], obj=given, catch_exceptions=False)
    assert "is there already" in again.output
    listed = run.invoke(model, ["list"], obj=given, catch_exceptions=False).output
    assert all(name in listed for name in (*MODELS, "our_band"))


def test_the_published_schema_is_the_one_that_documents_are_read_by():
    assert CliRunner().invoke(model, ["schema"]).output == SCHEMA.read_text()
