"""`cymba db`: the schema of the database."""

import sys

import click
from alembic.script import Script
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.orm import Session

from cymba.accounts import address_directory, profile
from cymba.database import UnitOfWork
from cymba.distribution import placed
from cymba.settings import Settings
from cymba.tables import metadata
from ops import distribution, grants, schema
from ops.database import open_engine
from ops.exits import Exit

_role_password = click.option(
    "--password",
    envvar="SERVICE_DATABASE_PASSWORD",
    show_envvar=True,
    help="The password of ROLE; best given by the environment.",
)


@click.group()
@click.pass_obj
def db(settings: Settings) -> None:
    """Bring the database's schema up to date, or inspect it."""
    if settings.database_through_pgbouncer:
        raise click.ClickException(
            "migrations hold a lock from one transaction to the next, which PgBouncer takes from "
            "them: connect to PostgreSQL itself, without CYMBA_DATABASE_THROUGH_PGBOUNCER"
        )


@db.command()
@click.option(
    "--wait",
    "wait_s",
    default=600,
    show_default=True,
    help="Seconds to wait for another process that is migrating.",
)
@click.option("--sql", is_flag=True, help="Print every migration's SQL instead; changes nothing.")
@click.option(
    "--grant",
    "role",
    metavar="ROLE",
    help="Then do `cymba db grant ROLE`, without revoking rights that the version before needs.",
)
@_role_password
@click.pass_obj
def upgrade(
    settings: Settings, *, wait_s: int, sql: bool, role: str | None, password: str | None
) -> None:
    """Run the missing migrations.

    Safe to start in several places at once: one runs them, and the others wait and find nothing to
    do. Each migration is a transaction of its own. The next run resumes an interrupted one. Where
    the tables lie on several nodes, stop every process of Cymba first.

    \b
    Exit status:  0 the schema is up to date
                  1 a migration failed; those before it are kept
                  3 the database is at a revision that this version of Cymba does not know
                  4 another process, or a busy table, was in the way; try again
    """
    if sql:
        click.echo(schema.sql(), nl=False)
        return
    with open_engine(settings, application_name="cymba db") as engine:
        steps = schema.pending(schema.current(engine))
        with click.progressbar(length=len(steps), label="Migrating", file=sys.stderr) as bar:

            def on_step(step: Script) -> None:
                bar.label = f"{step.revision} {step.doc}"
                bar.update(1)

            nodes = distribution.nodes_of(engine)
            if nodes is None or not distribution.is_distributed(engine, nodes):
                outcome = schema.upgrade(engine, wait_s=wait_s, on_step=on_step)
            else:
                outcome = distribution.upgrade(engine, nodes, wait_s=wait_s, on_step=on_step)
    match outcome:
        case schema.Upgraded(before=before, after=after, applied=applied, rebuilt=rebuilt):
            if rebuilt:
                click.echo(f"finished indexes of an interrupted run: {', '.join(rebuilt)}")
            if applied:
                click.echo(f"{before or 'empty'} → {after}: {len(applied)} applied")
            else:
                click.echo(f"{after}: nothing to do")
        case schema.UnknownRevision(revision=revision):
            click.echo(
                f"cymba: this version does not know the database's revision {revision}", err=True
            )
            sys.exit(Exit.UNMET)
        case schema.SchemaLocked(detail=detail):
            click.echo(f"cymba: {detail}", err=True)
            sys.exit(Exit.UNREACHABLE)
    if role is not None:
        # Services of the version before may still run, and need their rights.
        behind = outcome.before is not None and bool(outcome.applied)
        _grant(settings, role, password=password, taking=not behind)


@db.command()
@click.argument("role")
@_role_password
@click.pass_obj
def grant(settings: Settings, role: str, password: str | None) -> None:
    """Give ROLE the rights that the services need, and no others.

    Connect as the owner of the tables (CYMBA_DATABASE_URL). ROLE is created if it does not exist.
    It may read and write rows, and cannot change the schema, nor the audit log's guard. Repeat it
    after every upgrade, once every process is of this version: it revokes the rights that only the
    version before needed.

    \b
    SERVICE_DATABASE_PASSWORD=… cymba db grant cymba_service
    """
    _grant(settings, role, password=password, taking=True)


def _grant(settings: Settings, role: str, *, password: str | None, taking: bool) -> None:
    with open_engine(settings, application_name="cymba db") as engine:
        try:
            outcome = grants.grant(engine, role, taking=taking, password=password)
        except TimeoutError as error:
            click.echo(f"cymba: {error}", err=True)
            sys.exit(Exit.UNREACHABLE)
        except InsufficientPrivilege as error:  # of the role that grants
            raise click.ClickException(str(error).strip()) from None
    match outcome:
        case grants.Granted(created=created):
            click.echo(f"{role}: {'made, and ' if created else ''}given the services' rights")
            if created and password is None:
                click.echo(
                    f"cymba: {role} was made without a password, so a server that asks for one "
                    "will refuse it; set SERVICE_DATABASE_PASSWORD and repeat",
                    err=True,
                )
            if not (taking or created):
                click.echo(
                    f"{role}: keeps the rights of the version before. Once none of its processes "
                    f"run, do: cymba db grant {role}"
                )
        case grants.OtherSchema():
            click.echo("cymba: the schema is not this version's; run: cymba db upgrade", err=True)
            sys.exit(Exit.UNMET)
        case grants.Unfit(why=why):
            raise click.ClickException(f"{role} can do more than the services need: {why}")


@db.command()
@click.pass_obj
def current(settings: Settings) -> None:
    """Print the database's revision (status 3 where there is none yet)."""
    with open_engine(settings, application_name="cymba db") as engine:
        revision = schema.current(engine)
    if revision is None:
        click.echo("cymba: the database is empty; run: cymba db upgrade", err=True)
        sys.exit(Exit.UNMET)
    click.echo(revision)


@db.command()
@click.pass_obj
def check(settings: Settings) -> None:
    """Check that the database has the schema that this version needs (status 3 if not)."""
    with open_engine(settings, application_name="cymba db") as engine:
        nodes = distribution.nodes_of(engine)
        is_laid = nodes is not None and distribution.is_distributed(engine, nodes)
        state = schema.check(engine, placed(metadata) if is_laid else metadata)
        faults = distribution.faults(engine, nodes) if nodes is not None and is_laid else []
        if state.fits:
            with UnitOfWork(engine) as session:
                missing = address_directory.count_missing(session)
            if missing:
                faults.append(f"account_address: accounts less rows: {missing}, not 0")
        if state.fits and not faults:
            where = ", and each table lies where it belongs" if is_laid else ""
            click.echo(f"{state.head}: the schema fits{where}")
            with UnitOfWork(engine) as session:
                _tell_twins(session)
            return
    click.echo(f"database at {state.current or 'nothing'}, this version needs {state.head}")
    for revision in state.pending:
        click.echo(f"  not run: {revision}")
    for difference in state.differences:
        click.echo(f"  differs: {difference}")
    for fault in faults:
        click.echo(f"  does not hold: {fault}")
    sys.exit(Exit.UNMET)


@db.command()
@click.option("--to-try", is_flag=True, help="No people's data is in the database.")
@click.pass_obj
def distribute(settings: Settings, *, to_try: bool) -> None:
    """Lay the tables on the nodes of a Citus cluster, to try it: not all works there yet.

    docs/scaling.md says what does not. First make the extension and the nodes, migrate, and stop
    every process of Cymba. It may be broken off: the next run goes on where this one was.

    \b
    Exit status:  0 every table lies where it belongs
                  1 the database has no Citus, or a step failed; those before it are kept
                  3 the database is not at this version's schema
                  4 another process is migrating
    """
    if not to_try:
        raise click.UsageError("not all works on several nodes yet: --to-try says that you know")
    with open_engine(settings, application_name="cymba db") as engine:
        nodes = distribution.nodes_of(engine)
        if nodes is None:
            raise click.ClickException("this database has no Citus: CREATE EXTENSION citus first")
        try:
            distribution.distribute(engine, nodes, on_step=click.echo)
        except distribution.OtherSchemaError as error:
            click.echo(f"cymba: {error}: run `cymba db upgrade`", err=True)
            sys.exit(Exit.UNMET)
        except TimeoutError as error:
            click.echo(f"cymba: {error}", err=True)
            sys.exit(Exit.UNREACHABLE)
    click.echo("every table lies where it belongs")


def _tell_twins(session: Session) -> None:
    """Warn of accounts whose address is another spelling of an older account's. Both work, but to
    sign in to the younger one, people must spell the address as they did."""
    for account_id, older in profile.without_key(session):
        if older is not None:
            click.echo(f"  account {account_id} has the address of account {older}, written anew")


@db.command()
@click.pass_obj
def history(settings: Settings) -> None:
    """List every migration, oldest first, and mark those that the database has."""
    with open_engine(settings, application_name="cymba db") as engine:
        missing = {step.revision for step in schema.pending(schema.current(engine))}
    for step in schema.history():
        click.echo(f"{' ' if step.revision in missing else '✓'} {step.revision}  {step.doc}")
