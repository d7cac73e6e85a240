"""The `smartcrm` command, one module per group of commands."""
