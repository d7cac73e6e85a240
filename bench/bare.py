"""The reference for our reads: a bare Flask route that runs one indexed query over a pooled connection."""

from __future__ import annotations

import os

import sqlalchemy
from flask import Flask, Response, jsonify

from store.database import engine


def create_app() -> Flask:
    """An application with one route, `/customer/<mobile_id>`, which reads a row by the orders' index."""
    app = Flask(__name__)
    pool = engine(os.environ["DATABASE_URL"])
    query = sqlalchemy.text("SELECT mobile_id, created_at FROM fact_transactions WHERE mobile_id = :id LIMIT 1")

    @app.get("/customer/<mobile_id>")
    def customer(mobile_id: str) -> Response:
        with pool.connect() as connection:
            row = connection.execute(query, {"id": mobile_id}).first()
        return jsonify(dict(row._mapping) if row else {})

    return app
