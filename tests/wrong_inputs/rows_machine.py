"""What a machine does not allow."""

from __future__ import annotations

from .files import text
from .row import Row

ONE_OF_ONE = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1')

MACHINE = [
    Row('a work dir where nothing can be written', 'train DET --work-dir /proc/run', r'work_dir: .*/proc/run'),
    Row('a work dir that is a file', 'train DET --work-dir run', r'work_dir: .*run', text('run', '')),
    Row(
        '--launcher pytorch without its variables',
        'train DET --launcher pytorch',
        r'--launcher pytorch: .*RANK is missing; start it',
    ),
    Row(
        '--launcher pytorch without its variables in a test',
        'test DET CKPT --launcher pytorch',
        r'--launcher pytorch: .*RANK is missing',
    ),
    Row(
        '--launcher slurm without CUDA',
        'train DET --launcher slurm',
        r'--launcher slurm needs CUDA',
        environment=dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_NODELIST='a'),
    ),
    Row(
        '--launcher slurm without its variables',
        'train DET --launcher slurm',
        r'SLURM_PROCID is missing; start it through srun',
    ),
    Row('float16 without CUDA', 'train DET --amp-dtype float16', r'--amp-dtype: float16 needs an accelerator'),
    Row(
        'a port in use',
        'train DET --launcher pytorch',
        r'port PORT_IN_USE is in use',
        environment={**ONE_OF_ONE, 'MASTER_PORT': 'PORT_IN_USE'},
    ),
]
