"""The arithmetic of all kinds: values in and out, no I/O."""
