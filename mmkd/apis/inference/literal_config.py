"""Reading the config that a checkpoint carries, without running it."""

from __future__ import annotations

import ast
from typing import Any

from mmengine.config import Config

from mmkd.utils.errors import UserError

__all__ = ['literal_config']


def literal_config(text: str, name: str = 'the checkpoint') -> Config:
    """The config that mmengine wrote as text into a checkpoint (``Config.pretty_text``).

    mmengine reads such a text by running it, and a checkpoint comes from anywhere. What it writes are assignments of
    numbers, strings, lists and ``dict(...)``; these are read, and nothing else is.

    Args:
        text: The text.
        name: Where it is from, for the message.

    Raises:
        UserError: Something else is in it.
    """
    try:
        statements = ast.parse(text).body
        values = {}
        for statement in statements:
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise ValueError(f'line {statement.lineno} is no assignment')
            values[statement.targets[0].id] = _value(statement.value)
    except (SyntaxError, ValueError, AttributeError) as error:
        raise UserError(f'{name}: the config in it cannot be read without running it: {error}') from error
    return Config(values)


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if any(keyword.arg is None for keyword in node.keywords) or not all(isinstance(a, ast.Dict) for a in node.args):
            raise ValueError(f'line {node.lineno} holds something else than a literal')
        named = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        return dict(*map(_value, node.args), **named)  # dict({...}) where a key is no name
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = dict(List=list, Tuple=tuple, Set=set)[type(node).__name__]
        return kind(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):  # as mmengine writes them
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    return ast.literal_eval(node)
