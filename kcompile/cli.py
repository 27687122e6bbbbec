"""The command ``kcompile``, also ``python -m kcompile``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kcompile.common.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 a check failed, 2 wrong use or input."""
    understood = parser()
    options = understood.parse_args(arguments)
    if options.command is None:
        understood.print_help()
        return 0
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output (head, less) has seen enough; Python's own flush at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError) as error:
        print(f"kcompile {options.command}: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _sentence(error: Exception) -> str:
    """The message in one line; of the operating system's errors without the number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename!r}: {error.strerror}"
    return " ".join(str(error).split())


def parser() -> argparse.ArgumentParser:
    """What the command understands."""
    top = argparse.ArgumentParser(prog="kcompile", description="Keras-style models as ONNX graphs.")
    top.add_argument("--version", action="version", version=f"kcompile {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="train a small network on real digits, export it, and check the exported files"
    )
    demo.add_argument("--epochs", type=int, default=30, metavar="N", help="default: %(default)s")
    demo.add_argument("--folder", default="demo_output", help="where files are written, default: %(default)s")
    demo.add_argument("--threads", type=int, default=0, metavar="N", help="threads per operator, default: all cores")
    demo.add_argument("--verbose", action="store_true", help="also show what each pass did")
    demo.set_defaults(run=_demo)

    inspect = commands.add_parser(
        "inspect",
        help="show what is in an ONNX file, or what the passes make of a model",
        description="Show inputs, outputs, operators, parameters and floating point operations; for a model in Python, "
        "or in a file of Keras, also its layers, and its graph before and after the passes.",
    )
    inspect.add_argument(
        "what",
        metavar="model.onnx|model.h5|model.keras|model.json|model.py:function",
        help="the function returns a model",
    )
    inspect.add_argument("--training", action="store_true", help="the training step of the (compiled) model")
    inspect.add_argument(
        "--dump-after", metavar="PASS", help="print the graph after this pass, several (a,b), or after each (all)"
    )
    inspect.add_argument(
        "--custom-objects", metavar="FILE.py", help="run this file; its classes and functions may be named in the model"
    )
    inspect.add_argument(
        "--arch", metavar="FILE.py:FUNCTION|FILE.json|FILE.yaml", help="the architecture of a file with weights only"
    )
    inspect.add_argument(
        "--unsafe-lambdas", action="store_true", help="run Python code that is stored in the file: only if you trust it"
    )
    inspect.set_defaults(run=_inspect)

    convert = commands.add_parser(
        "convert",
        help="turn files of Keras models into ONNX files",
        description="Turn Keras models into ONNX files: .h5, .hdf5 and .keras files; files with weights only, with "
        "--arch; .json and .yaml files, with --weights. Nothing in a file is run. The exit status is 1 if a file could "
        "not be converted, or differs in a check.",
    )
    add_convert_arguments(convert)
    convert.set_defaults(run=_convert)
    return top


def add_convert_arguments(convert: argparse.ArgumentParser) -> None:
    """The arguments of ``kcompile convert``."""
    convert.add_argument("sources", nargs="+", metavar="SRC", help="the files")
    convert.add_argument("-o", "--output", metavar="OUT", help="a file or a folder; default: beside each SRC, as .onnx")
    convert.add_argument("--force", action="store_true", help="overwrite ONNX files that exist")
    convert.add_argument("--check", action="store_true", help="compare each ONNX file with the model, run in NumPy")
    convert.add_argument("--opset", type=int, default=21, metavar="N", help="17 to 26, default: %(default)s")
    convert.add_argument("--batch-size", type=int, metavar="N", help="fix the batch size; default: any")
    convert.add_argument(
        "--dims", action="append", default=[], metavar="INPUT=SIZES",
        help="fix or name sizes of an input, as in image=1,None,None,3; may be repeated",
    )  # fmt: skip
    small = convert.add_mutually_exclusive_group()
    small.add_argument("--fp16", action="store_true", help="weights and most of the computation in float16")
    small.add_argument(
        "--int8", metavar="DATA", help="quantize with the samples in DATA: .npy, or .npz with inputs by name (or "
        "x) and perhaps labels y; 'dynamic': weights only",
    )  # fmt: skip
    convert.add_argument("--ort", action="store_true", help="also write the format of ONNX Runtime's small builds")
    convert.add_argument(
        "--arch", metavar="FILE.py:FUNCTION|FILE.json|FILE.yaml", help="the architecture of files with weights only"
    )
    convert.add_argument("--weights", metavar="FILE", help="the weights of an architecture (SRC is .json or .yaml)")
    convert.add_argument(
        "--custom-objects", metavar="FILE.py", help="run this file; its classes and functions may be named in SRC"
    )
    convert.add_argument(
        "--unsafe-lambdas", action="store_true", help="run Python code that is stored in SRC: only for files you trust"
    )


def _demo(options: argparse.Namespace) -> int:
    from kcompile import demo  # late: for this command only

    return demo.run(options.epochs, options.folder, options.threads, options.verbose)


def _inspect(options: argparse.Namespace) -> int:
    from kcompile import inspecting  # late: for this command only
    from kcompile.common.errors import KCompileError  # late: it imports NumPy, which help and version do not need
    from kcompile.converting import sources  # late: for this command only

    path, separator, name = options.what.rpartition(":")
    if separator and path.endswith(".py"):
        model = inspecting.load_model_function(path, name)
        print(inspecting.describe_model(model, options.training, options.dump_after))
        return 0
    if options.what.endswith(".py"):
        raise KCompileError(f"name the function that returns the model: {options.what}:FUNCTION")
    path = options.what.lower()
    if path.endswith((*sources.MODELS, *sources.CONFIGS)) or options.arch or Path(options.what).is_dir():
        custom_objects = sources.custom_objects_of(options.custom_objects) if options.custom_objects else {}
        safe = not options.unsafe_lambdas
        if path.endswith(sources.CONFIGS):
            model = sources.architecture(options.what, custom_objects, safe)
        else:
            model = sources.load(
                Path(options.what), options.arch, None, custom_objects, safe_mode=safe, compile=options.training
            )
        model.summary()
        print(inspecting.describe_model(model, options.training, options.dump_after))
        return 0
    if options.training or options.dump_after:
        raise KCompileError(
            "--training and --dump-after need a model in Python (model.py:function) or of Keras, not an ONNX file"
        )
    print(inspecting.describe_file(options.what))
    return 0


def _convert(options: argparse.Namespace) -> int:
    from kcompile.converting import command  # late: for this command only

    return command.run(options)


if __name__ == "__main__":
    sys.exit(main())
