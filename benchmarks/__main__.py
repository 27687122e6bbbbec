"""`python -m benchmarks fit|predict|grid|busy|threads|costs|compile|import|files`: measure kcompile and its peers."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict
from typing import Any

from benchmarks import busy, costs, files, grid, models, peers, report, shapes, threads
from benchmarks.driver import PeerError, measure, progress, started
from benchmarks.peers import Peer
from benchmarks.report import Result, number

DEPTHS = ("resnet20", "resnet32", "resnet56")


def model_name(text: str) -> str:
    """An argument that names a model."""
    try:
        return models.find(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def grid_parts(text: str) -> list[str]:
    """An argument that lists parts of the grid's rows."""
    parts = text.split(",")
    for part in parts:
        if part not in shapes.PARTS:
            raise argparse.ArgumentTypeError(f"no part {part!r}; choose from {', '.join(shapes.PARTS)}")
    return parts


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--peers",
        metavar="NAME=PYTHON,...",
        help=f"who takes part, each with the interpreter of its environment; names: {', '.join(peers.KINDS)}",
    )
    shared.add_argument("--threads", type=positive, default=1, help="processor cores to pin to (default: 1)")
    shared.add_argument("--rounds", type=positive, default=3, help="turns of each peer (default: 3)")
    shared.add_argument("--timeout", type=float, default=300, help="seconds to wait for an answer (default: 300)")
    shared.add_argument("--json", metavar="FILE", help="write all raw numbers here as well")

    main = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True)
    described = {"fit": "time of a training step", "predict": "latency and throughput of inference"}
    for command, text in described.items():
        timed = commands.add_parser(command, parents=[shared], help=text)
        choice = f"default: {' '.join(models.NAMES)}"
        timed.add_argument("models", nargs="*", type=model_name, metavar="MODEL", help=choice)
        timed.add_argument("--seconds", type=float, default=3, help="length of one peer's turn (default: 3)")
    mapped = commands.add_parser("grid", parents=[shared], help="time of single operations over a grid of shapes")
    mapped.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="rows whose kind, family or options these are, or whole rows such as 'conv2d 8x32x32x16 k3 f32'",
    )
    mapped.add_argument("--quick", action="store_true", help="about 45 of the rows")
    mapped.add_argument("--parts", type=grid_parts, default=["forward", "input", "filter"], metavar="PART,...",
                        help=f"of {', '.join(shapes.PARTS)} (default: forward,input,filter)")  # fmt: skip
    mapped.add_argument("--seconds", type=float, default=0.1, help="length of one peer's turn (default: 0.1)")
    mapped.add_argument("--top", type=positive, default=40, help="how many of the worst are printed (default: 40)")
    loaded = commands.add_parser("busy", help="threads on a quiet machine, and beside busy processes")
    choice = f"default: {' '.join(busy.NAMES)}"
    loaded.add_argument("models", nargs="*", type=model_name, metavar="MODEL", help=choice)
    loaded.add_argument("--task", choices=("fit", "predict"), default="fit", help="what is timed (default: fit)")
    loaded.add_argument("--processes", type=positive, default=6, help="how many busy ones there are (default: 6)")
    loaded.add_argument("--rounds", type=positive, default=5, help="turns of each setting (default: 5)")
    loaded.add_argument("--seconds", type=float, default=1, help="length of one turn (default: 1)")
    loaded.add_argument("--timeout", type=float, default=300, help="seconds to wait for an answer (default: 300)")
    loaded.add_argument("--json", metavar="FILE", help="write all raw numbers here as well")
    loaded.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="VARIABLE=VALUE",
        help="one more setting: environment variables, with spaces between them (may be given again)",
    )
    paired = commands.add_parser("threads", help="two models that train in two threads, and one after the other")
    choice = f"default: {' '.join(threads.NAMES)}"
    paired.add_argument("models", nargs="*", type=model_name, metavar="MODEL", help=choice)
    paired.add_argument("--rounds", type=positive, default=5, help="turns (default: 5)")
    paired.add_argument("--seconds", type=float, default=3, help="length of one turn (default: 3)")
    paired.add_argument("--timeout", type=float, default=300, help="seconds to wait for an answer (default: 300)")
    paired.add_argument("--json", metavar="FILE", help="write all raw numbers here as well")
    costs.add_arguments(
        commands.add_parser("costs", help="rates of kernels here, beside those that kcompile reckons with")
    )
    build = commands.add_parser("compile", parents=[shared], help="time from nothing to the first step")
    choice = f"default: {' '.join(DEPTHS)}"
    build.add_argument("models", nargs="*", type=model_name, metavar="MODEL", help=choice)
    commands.add_parser("import", parents=[shared], help="time of the first import, and until a first prediction")
    files.add_arguments(
        commands.add_parser("files", parents=[shared], help="Keras files as ONNX, by kcompile and by tf2onnx")
    )
    return main


def fresh(task: str, model: str, members: list[Peer], arguments: argparse.Namespace) -> list[Result]:
    """Prepare in a fresh process per round and peer: import, build, first step, each the median of rounds."""
    results = {peer.name: Result(model, peer.name) for peer in members}
    taken: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in members}
    with tempfile.TemporaryDirectory(prefix="kcompile-benchmarks-") as folder:
        for turn in range(arguments.rounds):
            for peer in members:
                if results[peer.name].error:
                    continue
                progress(f"{model or 'import'}: {peer.name}: round {turn + 1} of {arguments.rounds}")
                request = {"task": task, "peer": peer.name, "model": model, "threads": arguments.threads}
                try:
                    with started(peer, arguments.threads, folder, arguments.timeout) as process:
                        taken[peer.name].append(process.ask(do="prepare", **request))
                        results[peer.name].facts = process.ask(do="finish")
                except PeerError as error:
                    results[peer.name].error = str(error)
    for name, figures in taken.items():
        for key in figures[0] if figures else ():
            seconds = [figure[key] for figure in figures]
            results[name].figures[key] = statistics.median(seconds)
            results[name].rounds[key] = [[second] for second in seconds]
    return list(results.values())


def compile_table(results: list[Result]) -> str:
    """Model and peer, layers, seconds to build the model, to the end of the first step, that per layer."""
    rows = []
    for result in results:
        layers, first = result.figures.get("layers"), result.figures.get("first step")
        rows.append(
            [
                result.model,
                result.peer,
                number(layers),
                number(result.figures.get("build"), suffix=" s"),
                number(first, suffix=" s"),
                number(first / layers if first and layers else None, 1e3, " ms"),
            ]
        )
    return report.table(["model", "peer", "layers", "build", "first step", "per layer"], rows)


def import_table(results: list[Result]) -> str:
    """Peer, seconds of the first import with NumPy (median and fastest of the rounds), of the first use, the facts."""
    rows = []
    for result in results:
        seconds = [blocks[0] for blocks in result.rounds.get("import", ())]
        fastest = min(seconds, default=None)
        median = result.figures.get("import")
        times = [number(value, suffix=" s") for value in (median, fastest, result.figures.get("first use"))]
        rows.append([result.peer, *times, *report.facts(result)[3:]])
    return report.table(["peer", "import", "fastest", "first use", *report.FACTS[3:]], rows, left=1)


def machine(arguments: argparse.Namespace) -> str:
    """A line about where and how this was measured."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            found = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        name = found[0] if found else name
    if arguments.command == "busy":
        place = f"{os.cpu_count()} processors, {arguments.processes} busy processes"
    elif arguments.command == "threads":
        place = f"{os.cpu_count()} processors, one thread for each model"
    elif arguments.command == "costs":
        place = "pinned to 1 core"
    else:
        place = "pinned to " + ("1 core" if arguments.threads == 1 else f"{arguments.threads} cores")
    return f"{name}, {platform.system()}, {place}, {arguments.rounds} rounds"


def run(arguments: argparse.Namespace) -> list[Result]:
    """Measure what the command line asks for."""
    members = peers.parse(arguments.peers, arguments.command if arguments.command in ("predict", "grid") else "fit")
    peers.cores(arguments.threads)
    if arguments.command == "import":
        return fresh("import", "", members, arguments)
    results: list[Result] = []
    if arguments.command == "compile":
        for model in arguments.models or DEPTHS:
            results += fresh("fit", model, members, arguments)
        return results
    for model in arguments.models or models.NAMES:
        results += measure(
            arguments.command,
            model,
            members,
            threads=arguments.threads,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            timeout=arguments.timeout,
        )
    return results


def run_grid(arguments: argparse.Namespace) -> list[grid.Case]:
    """Measure rows of the grid."""
    rows = shapes.chosen(arguments.words, arguments.quick)
    members = peers.parse(arguments.peers, "grid")
    peers.cores(arguments.threads)
    return grid.measure(
        rows,
        arguments.parts,
        members,
        threads=arguments.threads,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        timeout=arguments.timeout,
    )


def render_grid(cases: list[grid.Case], top: int) -> str:
    """The tables of the grid."""
    found = {name: result for case in cases for name, result in case.results.items() if "versions" in result.facts}
    worst = grid.worst_first(cases)
    parts = [
        f"The worst {min(top, len(cases))} of {len(cases)}, by the time of kcompile over that of the slower peer:",
        grid.case_table(worst[:top]),
        grid.summary_table(cases),
        report.versions(list(found.values())),
        grid.remarks(cases),
    ]
    return "\n\n".join(part for part in parts if part)


def run_busy(arguments: argparse.Namespace) -> list[busy.Times]:
    """Measure settings of threads on a quiet and on a busy machine."""
    settings = ["default", busy.ALONE, *arguments.also]
    for setting in settings:
        busy.variables(setting)
    times: list[busy.Times] = []
    for model in arguments.models or busy.NAMES:
        times += busy.measure(
            "short fit" if arguments.task == "fit" else "predict",
            model,
            settings,
            arguments.processes,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            timeout=arguments.timeout,
        )
    return times


def run_threads(arguments: argparse.Namespace) -> list[threads.Times]:
    """Measure pairs of models in threads."""
    limits = {"rounds": arguments.rounds, "seconds": arguments.seconds, "timeout": arguments.timeout}
    return [threads.measure(model, **limits) for model in arguments.models or threads.NAMES]


def render(command: str, results: list[Result]) -> str:
    """The tables of a command."""
    match command:
        case "fit":
            parts = [report.fit_table(results), report.overview(results, "step")]
        case "predict":
            overviews = [report.overview(results, figure) for figure in ("batch 1", "batch 32")]
            parts = [report.predict_table(results), *overviews]
        case "compile":
            parts = [compile_table(results)]
        case _:
            parts = [import_table(results)]
    return "\n\n".join(part for part in (*parts, report.versions(results), report.failures(results)) if part)


def main(argv: list[str] | None = None) -> int:
    """Returns 0, or 1 when no peer could measure anything; a wrong argument exits with 2."""
    command_line = parser()
    arguments = command_line.parse_args(argv)
    measured = True
    raw: list[dict[str, Any]]
    try:
        if arguments.command == "grid":
            cases = run_grid(arguments)
            printed, raw = render_grid(cases, arguments.top), grid.as_json(cases)
            measured = any(not result.error for case in cases for result in case.results.values())
        elif arguments.command == "busy":
            times = run_busy(arguments)
            printed, raw = busy.table(times), [asdict(one) for one in times]
        elif arguments.command == "threads":
            pairs = run_threads(arguments)
            printed, raw = threads.table(pairs), [asdict(one) for one in pairs]
        elif arguments.command == "costs":
            found = costs.run(arguments)
            printed, raw = costs.render(found), costs.as_json(found)
        elif arguments.command == "files":
            peers.cores(arguments.threads)
            compared = files.run(arguments, peers.parse(arguments.peers, "files"))
            printed, raw = files.render(compared), [asdict(one) for one in compared]
            measured = any(not one.error for one in compared)
        else:
            results = run(arguments)
            printed, raw = render(arguments.command, results), [result.as_json() for result in results]
            measured = any(not result.error for result in results)
    except ValueError as error:
        command_line.error(str(error))
    except PeerError as error:
        printed, raw, measured = f"missing: {error}", [], False
    print(machine(arguments), printed, sep="\n\n")
    if arguments.json:
        content: dict[str, Any] = {"machine": machine(arguments), "arguments": vars(arguments), "results": raw}
        with open(arguments.json, "w") as file:
            json.dump(content, file, indent=1)
    return 0 if measured else 1


if __name__ == "__main__":
    sys.exit(main())
