"""Writes docs/benchmark.md and its two charts from the measured figures of every size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.rivals import BY_NAME

DOCS = Path(__file__).parent.parent / "docs"
KINDS = {"rfm": "RFM", "menu": "Menu"}
OURS = {
    "ours": "ours, 2 processes",
    "ours_as_of": "ours, with an as_of",
    "ours_1_process": "ours, 1 process",
    "floor": "floor: count, max, sum",
}
# The largest allowed ratio, ours ÷ the other, at ten million transactions.
GOALS = {
    "rfm": {
        "ours_as_of": 1.10,
        "rfm_ntile": 0.35,
        "rfm_pandas": 0.08,
        "best of Polars and DuckDB": 0.60,
        "ours_1_process": 0.65,
        "floor": 5.0,
    },
    "menu": {"ours_as_of": 1.10, "menu_tuned": 0.30, "menu_plain": 0.13, "ours_1_process": 0.60},
}
REFRESH_GOAL = 0.02  # a refresh after 1,000 orders of the business day ÷ a full run
GROWTH_GOAL = 1.5  # such a refresh at ten million ÷ at a million
Figures = dict[str, Any]

HOW = """\
# The benchmark

`make bench` (a million transactions, some minutes) and `make bench SIZE=10M` write this page, its charts and
`bench/results/<size>.json`. Nothing on this page is written by hand.

**Data.** Generated inside an embedded PostgreSQL with default settings, by `generate_series` and hashes of row
numbers: two years of transactions, a tenth as many customers with a heavy tail, 10 % guests, 1 % refunds, one to four
lines per order, 200 items. Tables, keys and indexes are those of `source/tables.py`, vacuumed and analyzed.

**Work.** The same for all: from these rows to results in a table with its primary key. Ours is timed from the request
to the published results, with real prefork Celery workers, Redis and all commits. It is the run that users get each
night: it is held against the published results, in which 3 % of the customers have another segment, tells who moved,
and writes beside what it replaces. A run with an `as_of` of its own, in a row beside it, tells nothing. The other
implementations are in `bench/rivals/`; each runs in its own process, and its libraries are imported before the
measurement. After every run its table is compared with our published results row by row; one different row ends the
benchmark. All columns are compared, except the scores of `NTILE`, which gives customers with equal values different
scores.

**Figures.** The median of interleaved rounds (ours, other, other, …, ours, …), with minimum and maximum in
parentheses. Every measurement ends when a `CHECKPOINT` after it is done, so that each pays for what it has written. The
floor only reads every row once.
"""

REFRESH = """\
Current orders are added, and both kinds are requested together; timed until the last one is published, interleaved with
full runs of both kinds. Each run's mode is checked. The statements are `NTILE` and hand-tuned above.
"""


def write(results: list[Figures]) -> None:
    """Write the page and its charts from each size's figures."""
    ordered = sorted(results, key=lambda figures: figures["size"])
    sections = [HOW]
    for kind, title in KINDS.items():
        name = f"benchmark-{kind}.svg"
        _chart(DOCS / name, kind, ordered)
        sections.append(f"## {title}\n\n![Seconds of a full {title} run, ours and its rivals]({name})\n")
        sections += [_times(kind, figures) for figures in reversed(ordered)]
    sections += ["## A refresh after an import\n", REFRESH, *(_refresh(figures) for figures in reversed(ordered))]
    sections += [_growth(ordered)] if len(ordered) > 1 else []
    sections += [
        "## Tasks, messages and memory\n",
        _footprints(ordered),
        "## Machines and versions\n",
        _machines(ordered),
    ]
    (DOCS / "benchmark.md").write_text("\n".join(sections))


def title_of(name: str) -> str:
    """An implementation's name in the tables and charts."""
    return OURS.get(name) or BY_NAME[name].title


def size_of(figures: Figures) -> str:
    """The size as text, such as 1 M transactions."""
    size = int(figures["size"])
    return f"{size / 1e6:g} M transactions" if size >= 1e6 else f"{size:,} transactions"


def _table(*rows: list[str]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)) + "\n"


def _times(kind: str, figures: Figures) -> str:
    found, goals = figures[kind], GOALS[kind]
    ours = found["ours"]["median"]
    rows = [["", "seconds", "ours ÷ it", "goal at 10 M", "peak memory of its process"]]
    for name, one in found.items():
        seconds = f"{one['median']:.2f} ({one['min']:.2f}–{one['max']:.2f})"
        memory = f"{one['peak_mb']:,} MB" if "peak_mb" in one else ""
        goal = f"≤ {goals[name]:.2f}" if name in goals else ""
        rows.append([title_of(name), seconds, "" if name == "ours" else f"{ours / one['median']:.2f}", goal, memory])
    for name in goals:
        if name.startswith("best of"):
            best = min(found["rfm_polars"]["median"], found["rfm_duckdb"]["median"])
            rows.append([name, f"{best:.2f}", f"{ours / best:.2f}", f"≤ {goals[name]:.2f}", ""])
    return f"### {size_of(figures)}, {figures['rounds']} rounds\n\n{_table(*rows)}"


def _refresh(figures: Figures) -> str:
    found = figures["incremental"]
    full = found["full"]["median"]
    statements = figures["rfm"]["rfm_ntile"]["median"] + figures["menu"]["menu_tuned"]["median"]
    rows = [["", "seconds", "÷ full run of both kinds", "goal at 10 M", "÷ one SQL statement per kind"]]
    for name, one in found.items():
        seconds = f"{one['median']:.2f} ({one['min']:.2f}–{one['max']:.2f})"
        goal = f"≤ {REFRESH_GOAL:.2f}" if name == "1,000 orders" else ""
        ratio = "" if name == "full" else f"{one['median'] / full:.3f}"
        rows.append([name, seconds, ratio, goal, f"{one['median'] / statements:.3f}"])
    return f"### {size_of(figures)}, {figures['rounds']} rounds\n\n{_table(*rows)}"


def _growth(results: list[Figures]) -> str:
    small, large = results[-2:]
    rows = [["", "seconds of the larger ÷ the smaller"]]
    rows += [
        [title, f"{large[kind]['ours']['median'] / small[kind]['ours']['median']:.1f}"] for kind, title in KINDS.items()
    ]
    name = "1,000 orders"
    refreshed = large["incremental"][name]["median"] / small["incremental"][name]["median"]
    rows.append([f"A refresh after {name} (goal ≤ {GROWTH_GOAL})", f"{refreshed:.1f}"])
    return f"## Ours at {size_of(large)} compared with {size_of(small)}\n\n{_table(*rows)}"


def _footprints(results: list[Figures]) -> str:
    """Tasks, bytes and memory; memory is the proportional set size of the largest process of each role."""
    roles = list(results[0]["footprint"]["rfm"]["peak_mb"])
    rows = [["run", "tasks", "through Redis", *(f"largest {role}" for role in roles)]]
    for figures in results:
        took = [(title, figures["footprint"][kind]) for kind, title in KINDS.items()]
        took += [
            (f"{title} after 1,000 orders", figures["incremental_footprint"][kind]) for kind, title in KINDS.items()
        ]
        for title, one in took:
            memory = [f"{one['peak_mb'].get(role, 0):.0f} MB" for role in roles]
            rows.append(
                [f"{title}, {size_of(figures)}", str(one["tasks"]), f"{one['redis_bytes'] / 1e6:.2f} MB", *memory]
            )
    return "Memory is the peak of the proportional set size, two worker processes.\n\n" + _table(*rows)


def _machines(results: list[Figures]) -> str:
    lines = []
    for figures in results:
        machine, rows = figures["machine"], figures["rows"]
        versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
        lines.append(
            f"- {size_of(figures)} ({figures['measured_at']}): {rows['lines']:,} lines,"
            f" {rows['customers']:,} customers, database of {rows['database_bytes'] / 1e9:.1f} GB;"
            f" {machine['cores']} cores of {machine['processor']},"
            f" {machine['memory_gb']} GB, {machine['system']}; {versions}."
        )
    return "\n".join(lines) + "\n"


def _chart(path: Path, kind: str, results: list[Figures]) -> None:
    """Bars of medians with whiskers from minimum to maximum, one panel per size."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"  # the same figures give the same file
    from matplotlib import pyplot

    names = [name for name in results[-1][kind] if name != "floor" and all(name in each[kind] for each in results)]
    figure, panels = pyplot.subplots(
        1, len(results), figsize=(5.5 * len(results) + 2, 0.45 * len(names) + 1.2), squeeze=False, sharey=True
    )
    for panel, figures in zip(panels[0], results, strict=True):
        found = [figures[kind][name] for name in names]
        medians = [one["median"] for one in found]
        panel.barh(
            [title_of(name) for name in names],
            medians,
            xerr=[[one["median"] - one["min"] for one in found], [one["max"] - one["median"] for one in found]],
            color=["#1b6ca8" if name.startswith("ours") else "#b8bec6" for name in names],
            ecolor="#444444",
            capsize=3,
        )
        floor = figures[kind]["floor"]["median"]
        panel.axvline(floor, color="#c0392b", linestyle="--", linewidth=1)
        for place, (median, one) in enumerate(zip(medians, found, strict=True)):
            panel.annotate(f"{median:.2f}", (one["max"], place), xytext=(5, 0), textcoords="offset points", va="center")
        panel.margins(x=0.12)
        panel.set_title(f"{KINDS[kind]}, full run: {size_of(figures)}", fontsize=11)
        panel.set_xlabel(f"seconds: median, least and largest; dashed: the floor, {floor:.2f} s")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
