"""The wheel, the source distribution and the editable install all carry configs, tools and the model index."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from mmkd.environment import NEEDS, TORCH_MINIMUM
from mmkd.version import __version__

ROOT = Path(__file__).parents[1]
# A shipped config inherited by package name, its parts, and the tool that mim runs.
PROBE = """
import os, runpy, sys
import mmkd
from mmengine.config import Config
mim = os.path.join(os.path.dirname(mmkd.__file__), '.mim')
name = 'kd/centermask_v19_from_v99.py'
with open('config.py', 'w') as file:
    file.write(f"_base_ = 'mmkd::{name}'\\nwork_dir = 'x'\\n")
config = Config.fromfile('config.py')
assert config.model.type.split('.')[-1] == 'DenseDistill' and config.model._scope_ == 'mmkd'
assert os.path.isfile(os.path.join(mim, 'tools', 'train.py'))
for metafile in __import__('yaml').safe_load(open(os.path.join(mim, 'model-index.yml')))['Import']:
    assert os.path.isfile(os.path.join(mim, metafile)), metafile
sys.argv = ['train.py', '--help']
try:
    runpy.run_path(os.path.join(mim, 'tools', 'train.py'), run_name='__main__')
except SystemExit as stop:
    assert not stop.code
print(os.path.dirname(os.path.dirname(mmkd.__file__)))
"""


def run(command, cwd, **environment):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def build(kind, source, out):
    """Builds a wheel, an sdist or an editable wheel with setuptools, as pip does, and returns its path."""
    out.mkdir(exist_ok=True)
    code = f'from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))'
    return out / run(['-c', code], cwd=source).splitlines()[-1]


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A copy of what is in the repository, so that building leaves nothing in it."""
    target = tmp_path_factory.mktemp('checkout') / 'mmkd'
    ignored = shutil.ignore_patterns(
        '__pycache__', '*.egg-info', '.mim', '.git', '.venv*', 'build', 'dist', 'work_dirs'
    )
    for name in ('mmkd', 'configs', 'tools'):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, target)
    return target


@pytest.fixture(scope='module')
def wheel(checkout):
    return build('wheel', checkout, checkout.parent / 'wheel')


@pytest.mark.slow
def test_installed_wheel_is_complete(wheel, tmp_path):
    site = tmp_path / 'site'
    run(['-m', 'pip', 'install', '-q', '--no-deps', '--no-index', '--target', str(site), str(wheel)], cwd=tmp_path)
    assert run(['-c', PROBE], cwd=tmp_path, PYTHONPATH=str(site)).splitlines()[-1] == str(site)


@pytest.mark.slow
def test_wheel_holds_every_shipped_file_and_nothing_else(wheel, checkout):
    names = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    for part in ('configs', 'tools'):
        # the gates stand on what only a clone has
        shipped = {path.relative_to(checkout) for path in (checkout / part).rglob('*') if path.is_file()}
        shipped = {path for path in shipped if '_gates_' not in path.parts}
        packed = {Path(*name.parts[2:]) for name in names if name.parts[:3] == ('mmkd', '.mim', part)}
        assert packed == shipped
    assert {name.parts[0] for name in names} == {'mmkd', f'mmkd-{__version__}.dist-info'}
    assert Path('mmkd/py.typed') in names
    metadata = zipfile.ZipFile(wheel).read(f'mmkd-{__version__}.dist-info/METADATA').decode()
    assert 'License: Apache-2.0' in metadata or 'License-Expression: Apache-2.0' in metadata
    assert Path(f'mmkd-{__version__}.dist-info/licenses/LICENSE') in names
    assert not (checkout / 'mmkd' / '.mim').exists(), 'building a wheel must not write into the checkout'


@pytest.mark.slow
def test_wheel_built_again_does_not_keep_what_was_deleted(checkout, wheel):
    stray = checkout / 'configs' / 'stray.py'
    stray.write_text('')
    assert (
        'mmkd/.mim/configs/stray.py' in zipfile.ZipFile(build('wheel', checkout, checkout.parent / 'again')).namelist()
    )
    stray.unlink()
    names = zipfile.ZipFile(build('wheel', checkout, checkout.parent / 'again')).namelist()
    assert 'mmkd/.mim/configs/stray.py' not in names


@pytest.mark.slow
def test_wheel_from_the_source_distribution_is_the_same(checkout, wheel, tmp_path):
    archive = build('sdist', checkout, tmp_path / 'sdist')
    shutil.unpack_archive(archive, tmp_path / 'unpacked')
    again = build('wheel', tmp_path / 'unpacked' / f'mmkd-{__version__}', tmp_path / 'wheel')
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_editable_install_links_into_the_checkout(checkout, tmp_path):
    source = tmp_path / 'editable'
    shutil.copytree(checkout, source)
    for _ in range(2):  # installing again must not trip over the links
        wheel = zipfile.ZipFile(build('editable', source, tmp_path / 'wheel'))
        mim = source / 'mmkd' / '.mim'
        assert {path.name for path in mim.iterdir()} == {'configs', 'tools', 'model-index.yml'}
        for path in mim.iterdir():
            assert path.is_symlink() and path.resolve() == source / path.name
        assert not list((source / 'mmkd').glob('.mim-*'))
    assert run(['-c', PROBE], cwd=tmp_path, PYTHONPATH=str(source)).splitlines()[-1] == str(source)
    # Where mim looks: <site-packages>/<first line of top_level.txt>
    first, second = wheel.read(f'mmkd-{__version__}.dist-info/top_level.txt').decode().split()
    assert (Path('/site-packages') / first / '.mim' / 'tools' / 'train.py').is_file()
    assert second == 'mmkd'


def setup_module_of_the_project():
    spec = importlib.util.spec_from_file_location('setup_of_mmkd', ROOT / 'setup.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_interrupted_build_leaves_the_folder_as_it_was(tmp_path):
    replace_folder = setup_module_of_the_project().replace_folder
    target = tmp_path / 'mmkd' / '.mim'
    replace_folder(target, lambda folder, _: (folder / 'old').touch())

    def interrupted(folder, _):
        (folder / 'new').touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_folder(target, interrupted)
    assert [path.name for path in target.iterdir()] == ['old']
    assert [path.name for path in target.parent.iterdir()] == ['.mim']

    replace_folder(target, lambda folder, _: (folder / 'new').touch())
    assert [path.name for path in target.iterdir()] == ['new']
    assert [path.name for path in target.parent.iterdir()] == ['.mim']


def test_parts_are_copied_where_links_cannot_be_made(tmp_path, monkeypatch):
    project = setup_module_of_the_project()

    def no_links(*args, **kwargs):
        raise OSError('symbolic link privilege not held')

    monkeypatch.setattr(project.os, 'symlink', no_links)
    project.replace_folder(tmp_path / '.mim', project.link_parts)
    assert (tmp_path / '.mim' / 'tools' / 'train.py').read_text() == (ROOT / 'tools' / 'train.py').read_text()


@pytest.mark.parametrize('line, name', [('onedl', 'requirements.txt'), ('openmmlab', 'requirements-openmmlab.txt')])
def test_pins_are_those_of_the_environment_check(line, name):
    required = setup_module_of_the_project().requirements(name)
    for need in NEEDS.values():
        assert getattr(need, line) in required
        for module in need.also:
            assert module.replace('_', '-') in required
    assert not [requirement for requirement in required if requirement.startswith('torch')]


def test_the_oldest_pytorch_is_the_same_everywhere():
    assert f"'torch>={TORCH_MINIMUM}'" in (ROOT / 'setup.py').read_text()
    assert f'torch >= {TORCH_MINIMUM} is kept' in (ROOT / 'docs/start/install.md').read_text()


def test_model_index_names_every_metafile_and_they_name_configs_that_exist():
    listed = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('configs/**/metafile.yml'))
    for metafile in listed:
        for model in yaml.safe_load((ROOT / metafile).read_text())['Models']:
            assert (ROOT / model['Config']).is_file(), f'{metafile}: {model["Config"]}'
            assert Path(model['Config']).stem == model['Name']


def test_numbers_of_others_are_never_listed_as_results():
    for path in ROOT.glob('configs/**/metafile.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            for result in model.get('Published Results', []):
                assert result['Source'], f'{path}: {model["Name"]}'
            for result in model.get('Results', []):  # of this project: the log is in the repository
                assert (ROOT / result['Log']).is_file(), f'{path}: {model["Name"]}'


def test_version_is_told_once_and_has_its_notes():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == __version__ and citation['license'] == 'Apache-2.0'
    changelog = (ROOT / 'CHANGELOG.md').read_text()
    assert f'## [{__version__}]' in changelog and '## [Unreleased]' in changelog
    assert (ROOT / 'LICENSE').read_text().lstrip().startswith('Apache License')
