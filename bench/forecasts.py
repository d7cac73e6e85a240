"""`python -m bench.forecasts`: our forecasts beside others', on the last three blocks of 28 days of daily series.

Each forecasts four weeks from what was known before a block. Shown are, over all series and blocks: the geometric
mean of MAE ÷ that of the seasonal naive, the share of series that are worse than it, the mean absolute scaled error
(scaled by the naive's own error one week ahead before the block), how many open days the 80 % range covers, and CPU
seconds. The others are slow: they forecast a sample of the series, and ours is shown for the same ones, too.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from analytics.forecasts import forecast
from bench.daily import Daily, read

BLOCK, BLOCKS, WEEK = 28, 3, 7
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]
Forecast = tuple[Reals, Reals | None, Reals | None]
Method = Callable[[Reals, int, Flags], Forecast]


def ours(known: Reals, weekday: int, is_open: Flags) -> Forecast:
    """The product's."""
    found = forecast(known, weekday, is_open, BLOCK)
    return found.forecast, found.low, found.high


def seasonal_naive(known: Reals, weekday: int, is_open: Flags) -> Forecast:
    """The same weekday of the week before."""
    return np.tile(_last_week(known), BLOCK // WEEK), None, None


def _last_week(known: Reals) -> Reals:
    return np.pad(known, ((0, 0), (max(0, WEEK - known.shape[1]), 0)))[:, -WEEK:]


def _statsforecast(model: str) -> Method:
    def method(known: Reals, weekday: int, is_open: Flags) -> Forecast:
        from statsforecast import models

        rows = []
        for series in known:
            try:
                made = (
                    models.MSTL(season_length=[WEEK]) if model == "MSTL" else getattr(models, model)(season_length=WEEK)
                )
                found = made.forecast(y=series, h=BLOCK, level=[80])
                rows.append((found["mean"], found["lo-80"], found["hi-80"]))
            except Exception:  # too short for this model, or constant
                naive = np.tile(_last_week(series[None])[0], BLOCK // WEEK)
                rows.append((naive, naive, naive))
        point, low, high = (np.maximum(np.array(column), 0) for column in zip(*rows, strict=True))
        return point, low, high

    return method


def _holt_winters(known: Reals, weekday: int, is_open: Flags) -> Forecast:
    from statsmodels.tsa.api import ExponentialSmoothing

    rows = []
    for series in known:
        try:
            fitted = ExponentialSmoothing(np.log1p(np.maximum(series, 0)), seasonal="add", seasonal_periods=WEEK).fit()
            rows.append(np.expm1(fitted.forecast(BLOCK)))
        except Exception:  # too short for this model, or constant
            rows.append(np.tile(_last_week(series[None])[0], BLOCK // WEEK))
    return np.maximum(np.array(rows), 0), None, None


OTHERS: dict[str, Method] = {
    "statsforecast AutoETS": _statsforecast("AutoETS"),
    "statsforecast AutoTheta": _statsforecast("AutoTheta"),
    "statsforecast MSTL": _statsforecast("MSTL"),
    "statsmodels Holt-Winters on logs": _holt_winters,
}


@dataclass
class Score:
    """What a method came to on some series: their errors, those of the naive, what scales them, and what it covered."""

    errors: Reals
    naive: Reals
    scale: Reals
    covered: Flags
    seconds: float

    def line(self, name: str) -> str:
        """As a row of the table."""
        known = self.naive > 0
        ratio = np.maximum(self.errors[known], 1e-3 * self.naive[known]) / self.naive[known]
        scaled = self.errors[self.scale > 0] / self.scale[self.scale > 0]
        cover = f"{self.covered.mean():.3f}" if self.covered.size else ""
        return (
            f"| {name} | {len(self.errors)} | {np.exp(np.log(ratio).mean()):.3f} | {(ratio > 1 + 1e-9).mean():.1%} |"
            f" {scaled.mean():.3f} | {cover} | {self.seconds:.1f} |"
        )


HEAD = "| method | series | MAE ÷ naive's | worse | MASE | covered | CPU s |\n|---|---|---|---|---|---|---|"


def score(daily: Daily, which: NDArray[np.int64], method: Method) -> Score:
    """Forecast the last blocks of some of the series."""
    values = daily.values[which]
    days = values.shape[1]
    errors, naive, scale, covered, seconds = [], [], [], [], 0.0
    for start in range(days - BLOCKS * BLOCK, days, BLOCK):
        known, actual, is_open = values[:, :start], values[:, start : start + BLOCK], daily.is_open[:start]
        began = time.process_time()
        point, low, high = method(known, daily.first_weekday, is_open)
        seconds += time.process_time() - began
        errors.append(np.abs(actual - point).mean(axis=1))
        naive.append(np.abs(actual - seasonal_naive(known, daily.first_weekday, is_open)[0]).mean(axis=1))
        before = np.abs(known[:, WEEK:] - known[:, :-WEEK])
        scale.append(before.mean(axis=1) if before.shape[1] else np.zeros(len(known)))
        if low is not None and high is not None:
            inside = (actual >= low - 1e-6) & (actual <= high + 1e-6)
            covered.append(inside[:, daily.is_open[start : start + BLOCK]].ravel())
    inside_all = np.concatenate(covered) if covered else np.zeros(0, dtype=bool)
    mean_errors, mean_naive, mean_scale = (np.mean(each, axis=0) for each in (errors, naive, scale))
    return Score(mean_errors, mean_naive, mean_scale, inside_all, seconds)


def together(scores: list[Score]) -> Score:
    """Several sets' scores as one."""
    return Score(
        errors=np.concatenate([each.errors for each in scores]),
        naive=np.concatenate([each.naive for each in scores]),
        scale=np.concatenate([each.scale for each in scores]),
        covered=np.concatenate([each.covered for each in scores]),
        seconds=sum(each.seconds for each in scores),
    )


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sample", default=60, help="Of how many series of each folder the others are shown; 0: of none.")
def main(folders: tuple[Path, ...], sample: int) -> None:
    """Forecasts of the series in FOLDERS, each with transactions, items and menu as Parquet or CSV."""
    warnings.simplefilter("ignore")
    sets = [read(folder) for folder in folders or sorted(path for path in DATA.iterdir() if path.is_dir())]
    click.echo(HEAD)
    for daily in sets:
        click.echo(score(daily, np.arange(len(daily.values)), ours).line(f"ours, {daily.name}"))
    for title, wanted in (
        ("all", lambda metric: True),
        ("without items' revenue", lambda metric: metric != "item_revenue"),
    ):
        chosen = [np.flatnonzero([wanted(metric) for metric in daily.metrics]) for daily in sets]
        of_ours = [score(daily, which, ours) for daily, which in zip(sets, chosen, strict=True)]
        click.echo(together(of_ours).line(f"ours, {title}"))
    if not sample:
        return
    random = np.random.default_rng(1)
    sampled = [np.sort(random.permutation(len(daily.values))[:sample]) for daily in sets]
    for name, method in {"ours, sample": ours, "seasonal naive, sample": seasonal_naive, **OTHERS}.items():
        score(sets[0], sampled[0][:1], method)  # what compiles itself does so now
        scores = [score(daily, which, method) for daily, which in zip(sets, sampled, strict=True)]
        click.echo(together(scores).line(name))


if __name__ == "__main__":
    main()
