"""`cymba client`: the apps of others that may ask people to let them in."""

import click

from cymba.accounts import app_clients
from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings
from ops.database import open_engine


@click.group()
def client() -> None:
    """Register apps of others, which people may let in by SMART on FHIR."""


@client.command()
@click.argument("name")
@click.option(
    "--redirect-uri",
    "redirect_uris",
    multiple=True,
    required=True,
    help="Where the app takes people back, letter by letter. Give it once for each.",
)
@click.option("--confidential", is_flag=True, help="It runs on a server, and can keep a secret.")
@click.pass_obj
def add(
    settings: Settings, *, name: str, redirect_uris: tuple[str, ...], confidential: bool
) -> None:
    """Register an app under NAME, which people read when it asks to be let in.

    Prints its client id, and the secret of a confidential one, which is shown this once. The
    protocol is that of SMART App Launch 2: docs/smart.md.

    \b
    cymba client add "Heart Diary" --redirect-uri https://app.example.org/back
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session, session.begin():
        made, secret = app_clients.register(
            session, name=name, redirect_uris=redirect_uris, confidential=confidential
        )
        client_id = made.id
    click.echo(f"client id  {client_id}")
    if secret is not None:
        click.echo(f"secret     {secret}")


@client.command("list")
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the apps that may ask.

    \b
    cymba client list
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        for one in app_clients.clients(session):
            kind = "public" if one.secret_hash is None else "confidential"
            click.echo(f"{one.id}  {kind:<12}  {one.name}  {' '.join(one.redirect_uris)}")


@client.command()
@click.argument("client_id")
@click.pass_obj
def remove(settings: Settings, *, client_id: str) -> None:
    """Remove an app by its CLIENT_ID. What people let it read ends at once.

    \b
    cymba client remove 0d9c1d1e-4f3b-4a5c-9d0e-7f6a5b4c3d2e
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session, session.begin():
        ended = app_clients.remove(session, client_id, now=utc_now())
    click.echo(f"removed; it was let in by {ended} standing shares, which have ended")
