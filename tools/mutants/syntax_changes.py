"""Mutations: small changes of a module's syntax tree, each of which a test should notice."""

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Change = Callable[[ast.AST], Iterator[ast.AST]]  # all changed versions of a node

_COMPARISONS: Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "amin": "amax", "amax": "amin", "minimum": "maximum",
    "maximum": "minimum", "argmin": "argmax", "argmax": "argmin",
}  # fmt: skip
_ASSERTIONS = {"strict", "frozen"}  # of zip and of dataclasses: only another defect would violate them

_CONTEXT = 30  # characters around what differs


@dataclass(frozen=True)
class Mutant:
    """A change of one node of a file. number: which of all changes of the file it is."""

    path: str
    number: int
    line: int
    column: int
    operator: str
    before: str
    after: str

    @property
    def id(self) -> str:
        """Place and change in one line."""
        return f"{self.path}:{self.line}:{self.column}: {self.before} -> {self.after}"


def mutants(path: str, source: str) -> list[Mutant]:
    """Return all mutants of a file."""
    lines = [line.encode() for line in source.splitlines()]  # columns count bytes
    everything = []
    for number, (node, operator, changed) in enumerate(_changes(ast.parse(source))):
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        before, after = ast.unparse(node), ast.unparse(changed)
        if getattr(node, "end_lineno", 0) == line:
            text = lines[line - 1]
            prefix, suffix = text[:column].decode().lstrip(), text[getattr(node, "end_col_offset", 0) :].decode()
            before, after = f"{prefix}{before}{suffix}", f"{prefix}{after}{suffix}"
        everything.append(Mutant(path, number, line, column, operator, *_excerpts(before, after)))
    return everything


def _excerpts(before: str, after: str) -> tuple[str, str]:
    """Return the parts of two texts in which they differ, with a few characters around them."""
    before, after = " ".join(before.split()), " ".join(after.split())
    first = max(0, _common(before, after) - _CONTEXT)
    last = max(0, min(_common(before[::-1], after[::-1]), len(before) - first, len(after) - first) - _CONTEXT)
    start, end = "…" if first else "", "…" if last else ""
    return f"{start}{before[first : len(before) - last]}{end}", f"{start}{after[first : len(after) - last]}{end}"


def _common(a: str, b: str) -> int:
    """Return the length of the longest common beginning of two texts."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def mutated(source: str, number: int) -> ast.Module:
    """Return the syntax tree of a file with one of its changes."""
    tree = ast.parse(source)
    node, _, changed = next(change for position, change in enumerate(_changes(tree)) if position == number)
    _Replacement(node, changed).visit(tree)
    return ast.fix_missing_locations(tree)


class _Replacement(ast.NodeTransformer):
    def __init__(self, node: ast.AST, changed: ast.AST) -> None:
        self._node, self._changed = node, changed

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._node:
            return ast.copy_location(self._changed, node)
        visited: ast.AST = super().visit(node)
        return visited


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """Yield a node, the name of an operator, and the node that takes its place."""
    for node in _nodes(tree):
        for operator, change in OPERATORS.items():
            for changed in change(node):
                yield node, operator, changed


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs and is not text: no type hints, no messages, no branch for type checkers, and no assertion."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        return
    if isinstance(node, ast.keyword) and node.arg in _ASSERTIONS:
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes(child)


def _compare(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for position, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                changed = copy.copy(node)
                changed.ops = [*node.ops[:position], other(), *node.ops[position + 1 :]]
                yield changed


def _arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS and not _is_text(node):
        changed = copy.copy(node)
        changed.op = _OPERATORS[type(node.op)]()
        yield changed
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
        yield node.operand


def _is_text(node: ast.BinOp | ast.AugAssign) -> bool:
    """Return True if a string is formatted or added."""
    operands = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.value]
    return any(
        isinstance(o, ast.JoinedStr) or (isinstance(o, ast.Constant) and isinstance(o.value, str)) for o in operands
    )


def _boolean(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield ast.BoolOp(other, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(
        node.test, ast.Name | ast.Attribute | ast.Call
    ):
        changed = copy.copy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        yield changed


def _constant(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield ast.Constant(not value)
        elif isinstance(value, int):
            yield ast.Constant(value + 1)
        elif isinstance(value, float):
            yield ast.Constant(2 * value if value else 1.0)


def _returned(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))


def _keyword(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg in _ASSERTIONS:
                continue
            changed = copy.copy(node)
            changed.keywords = [other for other in node.keywords if other is not keyword]
            yield changed


def _decorator(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        for decorator in node.decorator_list:
            changed = copy.copy(node)
            changed.decorator_list = [other for other in node.decorator_list if other is not decorator]
            yield changed


def _name(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Name) and node.id in _NAMES:
        yield ast.Name(_NAMES[node.id], node.ctx)
    elif isinstance(node, ast.Attribute) and node.attr in _NAMES:
        yield ast.Attribute(node.value, _NAMES[node.attr], node.ctx)


def _statement(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield ast.Pass()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Break):
        yield ast.Continue()


OPERATORS: Mapping[str, Change] = {
    "comparison": _compare,
    "arithmetic": _arithmetic,
    "boolean": _boolean,
    "constant": _constant,
    "returned value": _returned,
    "removed keyword": _keyword,
    "removed decorator": _decorator,
    "minimum or maximum, any or all": _name,
    "removed statement": _statement,
}
