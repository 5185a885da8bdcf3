"""Who may import whom. Read from the sources, so that a lazy import inside a function counts as well."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmkd'

# part of the package -> what it must not import
LIGHT = ('mmrazor', 'mmkd.models', 'mmkd.distillation', 'mmkd.engine')
OF_LOSSES = (
    'mmrazor',
    'mmkd.models',
    'mmkd.engine',
    *(f'mmkd.distillation.{part}' for part in ('algorithms', 'recipes', 'taps', 'teacher')),
)
FORBIDDEN = {
    'mmkd/models': ('mmrazor', 'mmkd.distillation', 'mmkd.engine', 'mmkd.converters'),
    'mmkd/distillation/losses': (*OF_LOSSES, 'mmkd.distillation.discriminators', 'mmkd.distillation.connectors'),
    'mmkd/distillation/connectors': OF_LOSSES,
    'mmkd/distillation/discriminators': ('mmrazor', 'mmkd.models', 'mmkd.engine', 'mmkd.distillation.algorithms'),
    'mmkd/distillation/teacher': ('mmrazor', 'mmkd.models', 'mmkd.engine', 'mmkd.distillation.algorithms'),
    'mmkd/distillation/taps': ('mmrazor', 'mmkd.models', 'mmkd.engine', 'mmkd.distillation.algorithms'),
    'mmkd/distillation/recipes': ('mmkd.models', 'mmkd.engine', 'mmkd.distillation.algorithms'),
    'mmkd/distillation/algorithms': ('mmkd.models', 'mmkd.engine'),
    'mmkd/engine': ('mmkd.models', 'mmkd.distillation.algorithms'),
    'mmkd/datasets': LIGHT,
    'mmkd/evaluation': LIGHT,
    'mmkd/visualization': LIGHT,
    'mmkd/converters': ('mmrazor', 'mmkd.distillation', 'mmkd.engine', 'mmkd.datasets'),
}
MAY_IMPORT_MMRAZOR = ('mmkd/distillation/algorithms', 'mmkd/distillation/recipes', 'mmkd/engine', 'mmkd/compat.py')
# what a module must not look at inside, when it is mmrazor's or a part of the package that it is no part of
PRIVATE = ('_data_buffer', '_recorders', '_initialized', '_deliveries', '_mask_forward')


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


def test_mmrazor_is_used_by_its_public_names():
    for path in PACKAGE.rglob('*.py'):
        for name in imported_modules(path):
            parts = name.split('.')
            assert parts[0] != 'mmrazor' or not any(part.startswith('_') for part in parts), f'{path} imports {name}'
        seen = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not seen & set(PRIVATE), f'{path.relative_to(ROOT)} looks at {sorted(seen & set(PRIVATE))}'


def test_nothing_imports_what_the_commands_call():
    above = (PACKAGE / 'apis', PACKAGE / '__main__.py')
    paths = [path for path in PACKAGE.rglob('*.py') if not any(path.is_relative_to(part) for part in above)]
    assert len(paths) > 100
    assert not breaches(paths, ('mmkd.apis',))


def test_utils_stand_on_nothing_of_the_package_but_compat():
    parts = [path.stem for path in PACKAGE.iterdir() if path.stem not in ('compat', 'utils', '__pycache__')]
    paths = [path for path in (PACKAGE / 'utils').rglob('*.py') if path.name != 'setup_env.py']  # registers all parts
    assert not breaches(paths, [f'mmkd.{part}' for part in parts])


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
