"""The `smartcrm` command: every error that a person can mend is one sentence on standard error.

What only some commands need is imported inside them: pandas, Arrow and Celery take longer than most commands run.
"""

from __future__ import annotations

import signal
import sys

import click
import psycopg
from sqlalchemy.exc import DBAPIError

from cli import results, runs, serving, upkeep  # noqa: F401  # each adds its commands to the group
from cli.app import cli
from cli.terminal import shown
from errors import SmartCRMError


def main() -> None:
    """Run the command; a fault for a person is one sentence on standard error and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(0 if sys.argv[1:2] in (["up"], ["demo"]) else 130)
    except SmartCRMError as fault:
        click.echo(shown(f"smartcrm: {fault}"), err=True)
        sys.exit(1)
    except (DBAPIError, psycopg.Error) as fault:
        cause = fault.orig if isinstance(fault, DBAPIError) else fault
        told = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
        reason = told or str(cause).strip().splitlines()[0]
        click.echo(shown(f"smartcrm: PostgreSQL could not do it: {reason}."), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
