"""The tables of trends, and the views of what is published of them."""

from alembic import op

revision = "0015"
down_revision = "0014"

TABLES = """
CREATE TABLE metric_tallies (
    generation BIGINT NOT NULL,
    shard INTEGER NOT NULL,
    business_date DATE NOT NULL,
    stage TEXT NOT NULL,
    part INTEGER NOT NULL,
    cells BYTEA NOT NULL,
    CONSTRAINT pk_metric_tallies PRIMARY KEY (generation, shard, business_date, stage, part)
);
CREATE TABLE metric_hour_tallies (
    generation BIGINT NOT NULL,
    business_date DATE NOT NULL,
    hour SMALLINT NOT NULL,
    later SMALLINT NOT NULL,
    part INTEGER NOT NULL,
    orders BIGINT NOT NULL,
    cents BIGINT NOT NULL,
    CONSTRAINT pk_metric_hour_tallies PRIMARY KEY (generation, business_date, hour, later, part)
);
CREATE TABLE metric_cohort_tallies (
    generation BIGINT NOT NULL,
    cohort DATE NOT NULL,
    month DATE NOT NULL,
    part INTEGER NOT NULL,
    customers BIGINT NOT NULL,
    cents BIGINT NOT NULL,
    CONSTRAINT pk_metric_cohort_tallies PRIMARY KEY (generation, cohort, month, part)
);
CREATE TABLE metric_results (
    generation BIGINT NOT NULL,
    metric TEXT NOT NULL,
    dimension TEXT NOT NULL,
    shard INTEGER NOT NULL,
    name TEXT,
    first_date DATE NOT NULL,
    points DOUBLE PRECISION[] NOT NULL,
    forecast_from DATE,
    forecasts DOUBLE PRECISION[] NOT NULL,
    lows DOUBLE PRECISION[] NOT NULL,
    highs DOUBLE PRECISION[] NOT NULL,
    methods SMALLINT[] NOT NULL,
    weeks INTEGER NOT NULL,
    change DOUBLE PRECISION,
    score DOUBLE PRECISION,
    variance DOUBLE PRECISION,
    autocorrelation DOUBLE PRECISION,
    season_unknown BOOLEAN NOT NULL,
    anomaly BOOLEAN NOT NULL,
    CONSTRAINT pk_metric_results PRIMARY KEY (generation, metric, dimension)
);
CREATE TABLE metric_trend_results (
    generation BIGINT NOT NULL,
    metric TEXT NOT NULL,
    dimension TEXT NOT NULL,
    direction TEXT NOT NULL,
    p_value DOUBLE PRECISION,
    q_value DOUBLE PRECISION,
    CONSTRAINT pk_metric_trend_results PRIMARY KEY (generation, metric, dimension)
);
"""
VIEWS = """
CREATE VIEW metric_series AS
SELECT metric, dimension, first_date + (place - 1)::int AS business_date, value
FROM metric_results, unnest(points) WITH ORDINALITY AS points (value, place)
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'trends') AND value <> 'NaN';

CREATE VIEW metric_trends AS
SELECT metric, dimension, direction, change, p_value, q_value, weeks, season_unknown, anomaly
FROM metric_results JOIN metric_trend_results USING (generation, metric, dimension)
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'trends');

CREATE VIEW metric_forecasts AS
SELECT metric, dimension, forecast_from + (place - 1)::int AS business_date, forecast, low, high,
       ('{blend,weekday_median,seasonal_naive,closed}'::text[])[method] AS method
FROM metric_results,
     unnest(forecasts, lows, highs, methods) WITH ORDINALITY AS ahead (forecast, low, high, method, place)
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'trends');
"""


def upgrade() -> None:
    """Make them."""
    op.execute(TABLES)
    op.execute(VIEWS)
