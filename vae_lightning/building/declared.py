"""Signatures as source files declare them: a config is checked without importing what it names, which takes seconds.

What can't be read off is left open here; the objects themselves are asked later.
"""

import ast
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Optional, Union

from vae_lightning import errors
from vae_lightning.errors import require_at_least, require_at_most, require_weight

_OF_NUMBERS = (require_at_least, require_at_most, require_weight, errors.require_frame_duration)
_LIMITS: dict[str, tuple[Callable[..., None], Any]] = {each.__name__: (each, int | float) for each in _OF_NUMBERS}
_LIMITS["require_image_size"] = errors.require_image_size, int | float | list
_NAMES = {each.__name__: each for each in (int, float, bool, str, list, dict, tuple, Sequence)} | {
    "Any": Any,
    "Literal": Literal,
    "Optional": Optional,
    "Union": Union,
    "Tensor": type("Tensor", (), {}),  # which no value of a config is
}
_MOST_STEPS = 6  # from a name to where it is defined
# What a comparison of an argument with numbers is made of, and the text that says why it is refused.
_COMPARISON = (ast.Compare, ast.UnaryOp, ast.Not, ast.USub, ast.cmpop, ast.Subscript, ast.Constant, ast.Name, ast.Load)
_TEXT = (ast.JoinedStr, ast.FormattedValue, ast.Subscript, ast.Constant, ast.Name, ast.Load)


@dataclass(frozen=True)
class Limit:
    """A check of one argument that a constructor begins with: `require_at_least("latent_dim", latent_dim, 1)`."""

    argument: str
    check: str
    bounds: tuple[Any, ...]

    def __call__(self, value: Any) -> None:
        """Raise the ValueError that the constructor would raise; values of other kinds are not its matter."""
        check, kinds = _LIMITS[self.check]
        if isinstance(value, kinds):
            check(self.argument, value, *self.bounds)


@dataclass(frozen=True)
class Refusal:
    """A check of one argument in a constructor's own words: `if lr < 0.0: raise ValueError(f"Invalid lr: {lr}")`."""

    argument: str
    comparison: ast.expr
    text: ast.expr

    def __call__(self, value: Any) -> None:
        """Raise the ValueError that the constructor would raise; other values than numbers are not its matter."""
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, int | float) for item in items):
            return
        try:
            message = self._of(self.text, value) if self._of(self.comparison, value) else None
        except (TypeError, IndexError):  # of another form than it expects, which is told later
            return
        if message is not None:
            raise ValueError(message)

    def _of(self, expression: ast.expr, value: Any) -> Any:
        code = compile(ast.fix_missing_locations(ast.Expression(expression)), "check", "eval")
        return eval(code, {"__builtins__": {}}, {self.argument: value})


@dataclass(frozen=True)
class Declaration:
    """What can be given to a class or a function.

    Attributes:
        parameters: by name; an annotation that can't be evaluated here is left out.
        limits: of their values.
    """

    parameters: dict[str, inspect.Parameter]
    limits: tuple[Limit | Refusal, ...]


@cache
def declared(path: str) -> Declaration | None:
    """The declaration of the class or function of that dotted name; None where it can't be found or read."""
    module, _, name = path.rpartition(".")
    file = _file_of(module) if module else None
    found = None if file is None else file.definition(name)
    return None if found is None else found.declaration()


@dataclass(frozen=True)
class _Definition:
    """A class or a function, and the file that it stands in."""

    file: "_File"
    node: ast.ClassDef | ast.FunctionDef

    def declaration(self) -> Declaration | None:
        if isinstance(self.node, ast.FunctionDef):
            return self._of(self.node, skipped=0)
        constructor = _method(self.node, "__init__")
        if constructor is not None:
            return self._of(constructor, skipped=1)
        if any("dataclass" in ast.dump(each) for each in self.node.decorator_list):
            return self._of_fields()
        bases = self.bases()
        return bases[0].declaration() if bases else None

    def bases(self) -> list["_Definition"]:
        assert isinstance(self.node, ast.ClassDef)
        names = [each.id for each in self.node.bases if isinstance(each, ast.Name)]
        return [found for name in names if (found := self.file.definition(name)) is not None]

    def _of(self, function: ast.FunctionDef, skipped: int) -> Declaration:
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args][skipped:]
        without = [None] * (len(named) - len(arguments.defaults)) if len(arguments.defaults) <= len(named) else []
        defaults = [*without, *arguments.defaults][: len(named)]
        parameters = {}
        pairs = [*zip(named, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
        for argument, default in pairs:
            parameters[argument.arg] = self._parameter(argument.arg, argument.annotation, default is not None)
        if arguments.kwarg is not None:
            name = arguments.kwarg.arg
            parameters[name] = inspect.Parameter(name, inspect.Parameter.VAR_KEYWORD)
        return Declaration(parameters, tuple(self._limits(function, parameters.keys())))

    def _of_fields(self) -> Declaration:
        assert isinstance(self.node, ast.ClassDef)
        inherited = [each for base in self.bases() if (each := base.declaration()) is not None]
        parameters = {name: each for base in reversed(inherited) for name, each in base.parameters.items()}
        for field in self.node.body:
            if not isinstance(field, ast.AnnAssign) or "ClassVar" in ast.unparse(field.annotation):
                continue
            if isinstance(field.target, ast.Name):
                name = field.target.id
                parameters[name] = self._parameter(name, field.annotation, field.value is not None)
        checks = _method(self.node, "__post_init__")
        own = self._limits(checks, parameters.keys()) if checks is not None else ()
        return Declaration(parameters, (*(limit for base in inherited for limit in base.limits), *own))

    def _parameter(self, name: str, annotation: ast.expr | None, has_default: bool) -> inspect.Parameter:
        empty = inspect.Parameter.empty
        hint = empty if annotation is None else self.file.evaluated(annotation)
        default = ... if has_default else empty
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)

    def _limits(self, function: ast.FunctionDef, arguments: Any) -> Iterator[Limit | Refusal]:
        """Those of the arguments as they were given; what is done to one first, ends its checks."""
        changed: set[str] = set()
        for statement in function.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                call = statement.value
                yield from (each for each in self._of_call(call, arguments) if each.argument not in changed)
            refusal = _refusal(statement, arguments)
            if refusal is not None and refusal.argument not in changed:
                yield refusal
            names = (each for each in ast.walk(statement) if isinstance(each, ast.Name))
            changed |= {each.id for each in names if isinstance(each.ctx, ast.Store)}

    def _of_call(self, call: ast.Call, arguments: Any) -> Iterator[Limit | Refusal]:
        if isinstance(call.func, ast.Name) and call.func.id in _LIMITS and len(call.args) > 1:
            told, value, *bounds = call.args
            checked = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
            numbers = [number for each in bounds if (number := self.file.number(each)) is not None]
            is_same = isinstance(told, ast.Constant) and told.value == checked
            if is_same and checked in arguments and len(numbers) == len(bounds):
                yield Limit(checked, call.func.id, tuple(numbers))
        if ast.unparse(call.func) == "super().__init__":
            handed_on = {each.arg for each in call.keywords if getattr(each.value, "id", None) == each.arg}
            for above in filter(None, (base.declaration() for base in self.bases()[:1])):
                pairs = zip(call.args, above.parameters, strict=False)
                handed_on |= {name for each, name in pairs if getattr(each, "id", None) == name}
                yield from (limit for limit in above.limits if limit.argument in handed_on)


class _File:
    """A module's source, and the package that its relative imports begin in."""

    def __init__(self, path: Path, package: str):
        self._body = ast.parse(path.read_bytes()).body
        self._package = package

    def definition(self, name: str) -> _Definition | None:
        """The class or function that goes by this name at the module's top, wherever it is imported from."""
        file, node = self._bound(name)
        return _Definition(file, node) if isinstance(node, ast.ClassDef | ast.FunctionDef) else None

    def evaluated(self, annotation: ast.expr) -> Any:
        """An annotation of plain types, or of names that modules give to such; else none."""
        try:
            code = compile(ast.Expression(annotation), "annotation", "eval")
            return eval(code, {"__builtins__": {}}, _Scope(self))
        except (NameError, TypeError, AttributeError, RecursionError):
            return inspect.Parameter.empty

    def value(self, name: str) -> Any:
        """What an annotation means by a name: the plain types that a module has given it to."""
        file, node = self._bound(name)
        return file.evaluated(node.value) if isinstance(node, ast.Assign) else inspect.Parameter.empty

    def number(self, expression: ast.expr) -> Any:
        """A constant, written out or by the name that a module has given it; else None."""
        if isinstance(expression, ast.Name):
            file, node = self._bound(expression.id)
            return file.number(node.value) if isinstance(node, ast.Assign) else None
        return expression.value if isinstance(expression, ast.Constant) else None

    def _bound(self, name: str, steps: int = 0) -> tuple["_File", ast.stmt | None]:
        for node in reversed(self._body):
            is_definition = isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
            if is_definition or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name):
                return self, node
            if isinstance(node, ast.ImportFrom) and steps < _MOST_STEPS:
                for alias in node.names:
                    file = _file_of(self._imported(node)) if (alias.asname or alias.name) == name else None
                    if file is not None:
                        return file._bound(alias.name, steps + 1)
        return self, None

    def _imported(self, node: ast.ImportFrom) -> str:
        above = self._package.split(".")[: 1 - node.level or None] if node.level else []
        return ".".join([*above, node.module or ""]).strip(".")


class _Scope(dict):
    """The names that an annotation may have."""

    def __init__(self, file: _File):
        super().__init__(_NAMES)
        self._file = file

    def __missing__(self, name: str) -> Any:
        hint = self._file.value(name)
        if hint is inspect.Parameter.empty:
            raise NameError(name)
        return hint


@cache
def _file_of(module: str) -> _File | None:
    first, *names = module.split(".")
    try:
        spec = importlib.util.find_spec(first) if all(map(str.isidentifier, (first, *names))) else None
        if spec is None or not spec.submodule_search_locations:
            return None
        place = Path(spec.submodule_search_locations[0], *names)
        if place.is_dir():
            return _File(place / "__init__.py", module)
        return _File(place.with_name(f"{place.name}.py"), module.rpartition(".")[0])
    except (ImportError, OSError, SyntaxError, ValueError):
        return None


def _refusal(statement: ast.stmt, arguments: Any) -> Refusal | None:
    """What a statement refuses of one of the arguments, if it is such a check and nothing more."""
    if not isinstance(statement, ast.If) or statement.orelse or not isinstance(statement.body[0], ast.Raise):
        return None
    raised = statement.body[0].exc
    if not isinstance(raised, ast.Call) or ast.unparse(raised.func) != "ValueError" or len(raised.args) != 1:
        return None
    comparison, text = statement.test, raised.args[0]
    is_plain = all(isinstance(each, _COMPARISON) for each in ast.walk(comparison))
    names = {each.id for part in (comparison, text) for each in ast.walk(part) if isinstance(each, ast.Name)}
    if not is_plain or not all(isinstance(each, _TEXT) for each in ast.walk(text)) or len(names) != 1:
        return None
    (argument,) = names
    return Refusal(argument, comparison, text) if argument in arguments else None


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == name), None)
