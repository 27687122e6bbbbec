"""Numbers of a module that a function reads, put into its bytecode: a file holds no module."""

from __future__ import annotations

import dis
import types
from collections.abc import Mapping
from typing import Any

GIVEN = ("K", "keras")
"""What a function of a file finds by name when it is loaded, besides what is built in."""


def with_numbers(function: types.FunctionType) -> tuple[types.CodeType, list[str]]:
    """The code of a function, with the numbers and texts that it reads by name from its module as constants.

    Returns:
        the code; the names of the other things that it reads from there, which no file can hold.
    """
    names = function.__globals__
    code = _filled(function.__code__, {name: value for name, value in names.items() if _is_plain(value)})
    rest = [name for name in _globals_of(code) if name in names and name not in GIVEN]
    return code, rest


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _globals_of(code: types.CodeType) -> list[str]:
    own = [i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"]
    inner = [name for part in code.co_consts if isinstance(part, types.CodeType) for name in _globals_of(part)]
    return list(dict.fromkeys([*own, *inner]))


def _filled(code: types.CodeType, values: Mapping[str, Any]) -> types.CodeType:
    """``code`` with loads of these names as loads of constants. Each stays as long as it was: ``NOP`` fills it up."""
    constants = [_filled(part, values) if isinstance(part, types.CodeType) else part for part in code.co_consts]
    raw = bytearray(code.co_code)
    instructions = list(dis.get_instructions(code))
    written = {i.argval for i in instructions if i.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")}
    ends = [*(i.offset for i in instructions[1:]), len(raw)]
    start = None  # of the EXTENDED_ARG before an instruction
    for instruction, end in zip(instructions, ends, strict=True):
        if instruction.opname == "EXTENDED_ARG":
            start = instruction.offset if start is None else start
            continue
        begin, start = instruction.offset if start is None else start, None
        name = instruction.argval
        if instruction.opname != "LOAD_GLOBAL" or name not in values or name in written or (instruction.arg or 0) & 1:
            continue
        if len(constants) > 255:
            break
        raw[begin:end] = bytes([dis.opmap["NOP"], 0]) * ((end - begin) // 2)
        raw[begin : begin + 2] = bytes([dis.opmap["LOAD_CONST"], len(constants)])
        constants.append(values[name])
    return code.replace(co_code=bytes(raw), co_consts=tuple(constants))
