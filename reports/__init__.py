"""The dashboard without a server: one self-contained HTML file, and the morning mail."""
