"""The arithmetic: cut points, scores, segments, dayparts and ranks. Values in and out, no I/O."""
