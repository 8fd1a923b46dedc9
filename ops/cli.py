"""The `cymba` command. Each command lives in `ops/commands/` and is imported when it is needed."""

import ast
import gc
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cymba.errors import DomainError
from cymba.failures import is_passing, name_of
from cymba.settings import SettingsError, load
from ops import leash, logs
from ops.exits import Exit
from ops.postgres import EmbeddedPostgresError

COMMANDS = {
    "demo": "ops.commands.demo:demo",
    "api": "ops.commands.api:api",
    "bridge": "ops.commands.bridge:bridge",
    "seal": "ops.commands.seal:seal",
    "insights": "ops.commands.insights:insights",
    "imports": "ops.commands.imports:imports",
    "mail": "ops.commands.mail:mail",
    "watch": "ops.commands.watch:watch",
    "broker": "ops.commands.broker:broker",
    "simulate": "ops.commands.simulate:simulate",
    "gateway": "ops.commands.gateway:gateway",
    "conformance": "ops.commands.conformance:conformance",
    "db": "ops.commands.db:db",
    "account": "ops.commands.account:account",
    "model": "ops.commands.model:model",
    "device": "ops.commands.device:device",
    "cell": "ops.commands.cell:cell",
    "client": "ops.commands.client:client",
    "quarantine": "ops.commands.quarantine:quarantine",
    "erasure": "ops.commands.erasure:erasure",
    "status": "ops.commands.status:status",
    "restore": "ops.commands.restore:restore",
    "retention": "ops.commands.retention:retention",
}


class Commands(click.Group):
    """The group whose commands are found in `COMMANDS`, and whose errors are one clear line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        # What is imported stays. To look through it for garbage, again and again while there is
        # more of it and once more at the end, takes as long as to import it.
        gc.disable()
        command: click.Command = getattr(import_module(module), name)
        gc.freeze()
        gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command's docstring is read from its file: to import them all takes seconds."""
        del ctx
        room = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _short_help(name, room)) for name in COMMANDS])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(Exit.INTERRUPTED)
        except SettingsError as error:
            _fail(str(error), Exit.USAGE)
        except (DBAPIError, PoolTimeout) as error:
            if not is_passing(error):
                raise
            _fail(
                f"the database does not answer ({name_of(error)}): {_first_line(error)}",
                Exit.UNREACHABLE,
            )
        except (DomainError, EmbeddedPostgresError) as error:
            _fail(str(error), Exit.FAILED)


def _short_help(name: str, room: int) -> str:
    module, _, function = COMMANDS[name].partition(":")
    spec = find_spec(module)
    assert spec is not None  # noqa: S101 - a test asks for every command
    assert spec.origin is not None  # noqa: S101
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return click.Command(name, help=ast.get_docstring(node)).get_short_help_str(room)
    return ""


def _fail(message: str, status: Exit) -> None:
    click.echo(f"cymba: {message}", err=True)
    sys.exit(status)


def _first_line(error: DBAPIError | PoolTimeout) -> str:
    return str(getattr(error, "orig", error)).strip().partition("\n")[0]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cymba", message="%(version)s")
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
@click.pass_context
def main(ctx: click.Context, until_stdin_closes: bool) -> None:
    """The backend of a companion app for transcutaneous vagus nerve stimulators.

    \b
    Try it:        cymba demo
    Set it up:     cymba db upgrade
                   cymba account create you@example.org
                   cymba device provision --model ear_cymba
    Run it:        cymba api & cymba bridge --slot 0 & cymba seal & cymba insights

    Settings come from the environment (CYMBA_DATABASE_URL, CYMBA_BROKER_URL …). Without a database
    URL an embedded PostgreSQL starts and keeps its data in CYMBA_DATA_DIR.

    \b
    Exit status:   0 done   1 failed   2 wrong arguments or settings   3 the answer is no
                   4 the database or the broker does not answer   130 interrupted
    """
    if until_stdin_closes:
        leash.follow_stdin()
    settings = load(os.environ)
    logs.configure(settings)
    ctx.obj = settings
