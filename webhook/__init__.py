"""The front door: HTTP in, HTTP out, and nothing computed."""
