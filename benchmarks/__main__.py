"""`python -m benchmarks`: measure the figures, print them, and write them where asked."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import chart
from benchmarks.bench import SIZES, Bench
from benchmarks.figure import LeftOutError
from benchmarks.figures import FIGURES, named
from benchmarks.report import Report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks", description="Measure the op log against floors and alternatives.")
    parser.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME", help=f"figures: {', '.join(FIGURES)}"
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="small: 20,000 instead of 1,000,000")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of a figure; cheap ones take 5 times as many")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the main ones there (.svg, .png)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="measure on the file system of this folder")
    arguments = parser.parse_args()
    try:
        arguments.only = named(arguments.only)
    except ValueError as error:
        parser.error(str(error))
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def main() -> None:
    """Measure what the command line asks for."""
    arguments = _arguments()
    progress = Console(stderr=True)
    report = Report(
        f"Op log, size {arguments.size}, {arguments.rounds} rounds",
        {"size": arguments.size, "rounds": arguments.rounds},
    )
    with tempfile.TemporaryDirectory(prefix="muse-bench-", dir=arguments.folder) as folder:
        bench = Bench(Path(folder), SIZES[arguments.size], arguments.rounds, progress.log)
        try:
            for name in arguments.only:
                progress.log(name)
                try:
                    report.figures[name] = FIGURES[name](bench)
                except LeftOutError as error:
                    report.left_out[name] = str(error)
        finally:
            # What was measured before a failure or an interruption is shown all the same.
            report.show()
            if arguments.json:
                report.write_json(arguments.json)
    if arguments.chart:
        try:
            chart.draw(arguments.chart, report.figures)
        except LeftOutError as error:
            progress.print(f"no chart: {error}", style="yellow")


if __name__ == "__main__":
    main()
