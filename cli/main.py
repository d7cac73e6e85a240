"""The entry point of the `smartcrm` command: an expected error is one sentence on standard error."""

from __future__ import annotations

import signal
import sys

import click

from errors import SmartCRMError


def main() -> None:
    """Run the command; an expected error prints one sentence and exits with status 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _run()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(0 if sys.argv[1:2] in (["up"], ["demo"]) else 130)
    except SmartCRMError as error:
        from cli.terminal import shown

        click.echo(shown(f"smartcrm: {error}"), err=True)
        sys.exit(1)


def _run() -> None:
    if sys.argv[1:2] == ["health"]:
        from cli.health import health  # runs every few seconds, so without the other commands' imports

        health.main(sys.argv[2:], prog_name="smartcrm health", standalone_mode=False)
        return
    from cli.app import cli
    from cli.commands import database_errors

    with database_errors():
        cli.main(standalone_mode=False)


if __name__ == "__main__":
    main()
