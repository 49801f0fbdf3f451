"""Lanes with the parameters of the function they protect.

Rule: the source of a lane is the only truth. Here its syntax tree gets the exact parameters in
the place of ``*args, **kwargs``, as if it had been written for that function, and is compiled
with its own file and lines. Packing and unpacking arguments is a third of what a protected call
costs. Where that cannot be done (no source, no plain function, variable parameters) the lane
serves as it is.
"""

from __future__ import annotations
import __future__

import ast
import inspect
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, Final

Maker = Callable[[Any, Callable[..., Any]], Callable[..., Any]]

_VARIABLE: Final = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_FLAGS: Final = __future__.annotations.compiler_flag
_PREFIX: Final = "_cbmon_"


def specialised(maker: Maker, core: Any, func: Callable[..., Any]) -> Callable[..., Any]:
    """``maker(core, func)``, with the parameters and defaults of ``func`` if possible."""
    if type(func) is not FunctionType or func.__code__.co_flags & _VARIABLE:
        return maker(core, func)
    code = func.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[:count]
    made = _compiled(maker, names, code.co_posonlyargcount, code.co_argcount)
    if made is None or any(name.startswith(_PREFIX) for name in names):
        return maker(core, func)
    namespace: dict[str, Any] = {}
    exec(made, maker.__globals__, namespace)  # noqa: S102 - our own source, with other parameters
    guarded: Any = namespace[maker.__name__](core, func)
    guarded.__defaults__ = func.__defaults__
    guarded.__kwdefaults__ = func.__kwdefaults__
    return guarded  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _compiled(
    maker: FunctionType, names: tuple[str, ...], only_positional: int, positional: int
) -> CodeType | None:
    try:
        lines, first = inspect.getsourcelines(maker)
    except OSError:
        return None
    tree = ast.parse("".join(lines))
    parameters = [ast.arg(arg=name) for name in names]
    arguments = ast.arguments(
        posonlyargs=parameters[:only_positional],
        args=parameters[only_positional:positional],
        kwonlyargs=parameters[positional:],
        kw_defaults=[None] * (len(names) - positional),
        defaults=[],
    )
    parameterised = _Parameters(arguments)
    tree = ast.fix_missing_locations(parameterised.visit(tree))
    if parameterised.foreign & set(names):
        return None
    ast.increment_lineno(tree, first - 1)
    made: CodeType = compile(tree, maker.__code__.co_filename, "exec", _FLAGS)
    return made


class _Parameters(ast.NodeTransformer):
    """Puts the arguments in; every local name of the lane gets a prefix."""

    def __init__(self, arguments: ast.arguments) -> None:
        self._new = arguments
        self._positional = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
        self._keywords = [arg.arg for arg in arguments.kwonlyargs]
        self._own = {"core", "func"}
        self.foreign: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """The maker, and the lane in it when that is a plain function."""
        if node.args.vararg is not None:
            return self._lane(node)
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self._own.add(part.id)
            elif isinstance(part, ast.ExceptHandler) and part.name:
                self._own.add(part.name)
        for argument in node.args.args:
            argument.arg = _PREFIX + argument.arg
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """The lane when it is a coroutine function."""
        return self._lane(node)

    def _lane(self, node: Any) -> ast.AST:
        node.args = self._new
        node.body = [self.visit(statement) for statement in node.body]
        return node  # type: ignore[no-any-return]

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """``except … as error`` names a local."""
        node.name = node.name and _PREFIX + node.name
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """``call with keywords if kwargs else call without``: there is one way now."""
        match node:
            case ast.IfExp(test=ast.Name(id="kwargs")):
                only: ast.AST = self.visit(node.body)
                return only
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """``func(*args, **kwargs)`` gets the arguments one by one."""
        if node.args and isinstance(node.args[0], ast.Starred):
            node.args = [_load(name) for name in self._positional]
            node.keywords = [ast.keyword(arg=name, value=_load(name)) for name in self._keywords]
            node.func = self.visit(node.func)
            return node
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """``args`` and ``kwargs`` handed over as they are, or a name of the lane's own."""
        if node.id == "args":
            return ast.Tuple(elts=[_load(name) for name in self._positional], ctx=ast.Load())
        if node.id == "kwargs":
            keys: list[ast.expr | None] = [ast.Constant(name) for name in self._keywords]
            return ast.Dict(keys=keys, values=[_load(name) for name in self._keywords])
        if node.id in self._own:
            node.id = _PREFIX + node.id
        else:
            self.foreign.add(node.id)
        return node


def _load(name: str) -> ast.expr:
    return ast.Name(id=name, ctx=ast.Load())
