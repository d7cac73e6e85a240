"""Tasks that load, call and save: control steers runs, compute does their parts."""
