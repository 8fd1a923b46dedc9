"""`cymba account`: accounts that the operator creates."""

import secrets
import sys

import click

from cymba.accounts.profile import register
from cymba.database import UnitOfWork
from cymba.settings import Settings
from ops.commands.rights import erase_account, export_account, import_account
from ops.database import open_engine


@click.group()
def account() -> None:
    """Create accounts, and export, import or erase a person's data.

    People usually register in the app. Operators are created here.
    """


for _command in (export_account, import_account, erase_account):
    account.add_command(_command)


@account.command()
@click.argument("email")
@click.option("--name", default="", help="How the person is called.")
@click.option("--time-zone", default="UTC", show_default=True, help="IANA name: Europe/Berlin.")
@click.option("--locale", default="en", show_default=True, help="BCP 47: en, pt-BR.")
@click.option(
    "--role",
    type=click.Choice(["person", "clinician", "operator"]),
    default="person",
    show_default=True,
    help="What the account may do.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate", is_flag=True, help="Draw a password and print it.")
@click.pass_obj
def create(
    settings: Settings,
    *,
    email: str,
    name: str,
    time_zone: str,
    locale: str,
    role: str,
    password_stdin: bool,
    generate: bool,
) -> None:
    """Make an account for EMAIL. Without an option for it, the password is asked for.

    \b
    cymba account create ana@example.org --time-zone Europe/Lisbon --generate
    """
    if password_stdin and generate:
        raise click.UsageError("--password-stdin and --generate exclude each other")
    if generate:
        password = secrets.token_urlsafe(12)
    elif password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        made = register(
            session,
            email=email,
            password=password,
            name=name,
            time_zone=time_zone,
            locale=locale,
            role=role,  # type: ignore[arg-type] # click has checked it
        )
        session.commit()
        click.echo(f"account   {made.id}\nemail     {made.email}")
    if generate:
        click.echo(f"password  {password}")
