"""Who may import whom. Read from the sources, so that a lazy import inside a function counts as well."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmkd'

# part of the package -> what it must not import
FORBIDDEN = {
    'mmkd/models': ('mmrazor', 'mmkd.distillation', 'mmkd.engine', 'mmkd.converters'),
    'mmkd/converters': ('mmrazor', 'mmkd.distillation', 'mmkd.engine', 'mmkd.datasets'),
    'mmkd/distillation/losses': ('mmrazor', 'mmkd.models', 'mmkd.distillation.algorithms', 'mmkd.engine'),
    'mmkd/distillation/connectors': ('mmrazor', 'mmkd.models', 'mmkd.distillation.algorithms', 'mmkd.engine'),
    'mmkd/distillation/discriminators': ('mmrazor', 'mmkd.models', 'mmkd.distillation.algorithms', 'mmkd.engine'),
    'mmkd/datasets': ('mmrazor', 'mmkd.models', 'mmkd.distillation', 'mmkd.engine'),
    'mmkd/evaluation': ('mmrazor', 'mmkd.models', 'mmkd.distillation', 'mmkd.engine'),
    'mmkd/visualization': ('mmrazor', 'mmkd.models', 'mmkd.distillation', 'mmkd.engine'),
}
MAY_IMPORT_MMRAZOR = (
    'mmkd/distillation/algorithms',
    'mmkd/distillation/recipes',
    'mmkd/distillation/taps/dry_run.py',
    'mmkd/engine',
    'mmkd/compat.py',
)


def imported_modules(path: Path) -> set[str]:
    """Absolute names of all modules that the file imports, relative imports resolved."""
    package = list(path.relative_to(ROOT).with_suffix('').parts)[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = '.'.join([*base, *([node.module] if node.module else [])])
            names.update(f'{module}.{alias.name}' for alias in node.names)
            names.add(module)
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', getattr(node.func, 'attr', '')) == 'import_module':
            names.update(arg.value for arg in node.args if isinstance(arg, ast.Constant))
    return names


def breaches(paths, forbidden) -> list[str]:
    return [
        f'{path.relative_to(ROOT)} imports {name}'
        for path in paths
        for name in sorted(imported_modules(path))
        if any(name == module or name.startswith(module + '.') for module in forbidden)
    ]


@pytest.mark.parametrize('part', FORBIDDEN)
def test_part_imports_only_what_it_may(part):
    paths = sorted((ROOT / part).rglob('*.py'))
    assert paths, f'{part} has no files: the test would check nothing'
    assert not breaches(paths, FORBIDDEN[part])


def test_only_the_algorithms_the_engine_and_compat_touch_mmrazor():
    paths = [p for p in PACKAGE.rglob('*.py') if not str(p.relative_to(ROOT)).startswith(MAY_IMPORT_MMRAZOR)]
    assert not breaches(paths, ('mmrazor',))


def test_nothing_imports_what_the_commands_call():
    above = (PACKAGE / 'apis', PACKAGE / '__main__.py')
    paths = [path for path in PACKAGE.rglob('*.py') if not any(path.is_relative_to(part) for part in above)]
    assert len(paths) > 100
    assert not breaches(paths, ('mmkd.apis',))


def test_tools_define_no_networks_or_losses():
    """Tools hold argument parsing and calls; what can be imported belongs in the package."""
    for path in (ROOT / 'tools').rglob('*.py'):
        classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
        assert not classes, f'{path.relative_to(ROOT)} defines {classes}'


def test_a_forbidden_import_would_be_seen(tmp_path):
    part = tmp_path / 'mmkd' / 'models'
    part.mkdir(parents=True)
    bad = part / 'bad.py'
    bad.write_text('def f():\n    from ..distillation import losses\n')
    globals()['ROOT'], before = tmp_path, ROOT
    try:
        assert breaches([bad], ('mmkd.distillation',))
    finally:
        globals()['ROOT'] = before
