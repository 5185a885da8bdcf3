"""Starting a run in one process or several, with or without an accelerator."""

from __future__ import annotations

import atexit
import os
import sys

import torch
from mmengine.config import Config

from mmkd.compat import load_checkpoints_safely
from mmkd.utils.checkpoint import checkpoint_key, load_checkpoint_file
from mmkd.utils.errors import CheckpointError, UserError
from mmkd.utils.state_dict import check_start_fits, check_state_dict_fits, state_dict_of, strip_module
from mmkd.utils.student import STUDENT_PREFIX
from mmkd.utils.unwrap import unwrapped
from mmkd.utils.walk import walk

__all__ = ['build_runner', 'check_checkpoint', 'finish', 'prepare_launch', 'prepare_model']


# What mmengine reads of a launcher's environment, and who sets it.
LAUNCHER_VARIABLES = dict(
    pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'),
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    mpi=('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'MASTER_ADDR'),
)
STARTED_THROUGH = dict(
    pytorch='torchrun, as tools/dist_train.sh and dist_test.sh do',
    slurm='srun, as tools/slurm_train.sh and slurm_test.sh do',
    mpi='mpirun',
)


def prepare_launch(cfg: Config) -> None:
    """Makes a distributed run possible without CUDA.

    mmengine starts the process group with ``torch.cuda.set_device`` and hands DDP a CUDA device index, which a CPU-only
    PyTorch refuses; the backend in every shipped config is ``nccl``. Without CUDA the process group is therefore
    started here, with gloo, and DDP gets no device index.

    Raises:
        UserError: The launcher's environment is missing, or is one that needs CUDA.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    missing = [name for name in LAUNCHER_VARIABLES.get(cfg.launcher, ()) if name not in os.environ]
    if missing:
        raise UserError(
            f'--launcher {cfg.launcher}: the environment variable {missing[0]} is missing; start it through '
            f'{STARTED_THROUGH[cfg.launcher]}'
        )
    if torch.cuda.is_available():
        local_rank = int(os.environ.get('LOCAL_RANK', 0))
        if cfg.launcher == 'pytorch' and local_rank >= torch.cuda.device_count():
            raise UserError(
                f'--launcher pytorch: process {local_rank} of this machine has no GPU, {torch.cuda.device_count()} are '
                'visible (CUDA_VISIBLE_DEVICES); start one process for each'
            )
        return
    if cfg.launcher != 'pytorch':
        raise UserError(f"--launcher {cfg.launcher} needs CUDA; without it use 'pytorch' (tools/dist_train.sh)")
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    wrapper.setdefault('device_ids', None)
    cfg.model_wrapper_cfg = wrapper


def build_runner(cfg: Config):
    """Builds the runner that the config asks for (mmengine's, unless ``runner_type`` names another), and prepares it.

    From here on mmengine runs no code of the checkpoints that it loads.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from mmkd.engine import prepare_runner

    load_checkpoints_safely(_checkpoint_keys(cfg))
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    prepare_runner(runner)
    return runner


def _checkpoint_keys(cfg: Config) -> dict[str, str]:
    """The keys of all checkpoints in a config, by what they name."""
    found = {}
    for key, value in walk(cfg._cfg_dict, ''):
        if isinstance(value, str) and key.split('.')[-1] in ('checkpoint', 'ckpt', 'load_from', 'pretrained'):
            found[value] = key
    if cfg.get('resume') and cfg.get('load_from'):
        found[cfg.load_from] = '--resume'
    return found


def prepare_model(runner) -> None:
    """Lets a distillation algorithm build its teacher and check its losses now, while a mistake is still one line."""
    model = unwrapped(runner.model)
    if hasattr(model, 'prepare'):
        model.prepare()


def check_checkpoint(runner) -> None:
    """Looks into the file of ``load_from`` or ``--resume`` for what the model needs. mmengine only warns.

    Raises:
        CheckpointError: The file cannot be read; or a run is to be resumed from one that does not fit or is no state
            of a run; or a training is to start from one of which nothing, or something of another shape, would be
            loaded (see :func:`check_start_fits`).
    """
    if runner._load_from is None:
        return
    key = '--resume' if runner._resume else 'load_from'
    model = unwrapped(runner.model)
    with checkpoint_key(key):
        checkpoint = load_checkpoint_file(runner._load_from)
        state_dict = state_dict_of(checkpoint, runner._load_from)
    name = f'{key}: {runner._load_from}'
    if runner._resume:
        if 'optimizer' not in checkpoint or 'meta' not in checkpoint:
            raise CheckpointError(f'{name} has weights only; resume from the full checkpoint')
        check_state_dict_fits(model, state_dict, name)
        return
    state_dict = strip_module(state_dict)
    distils = any(k.startswith(STUDENT_PREFIX) for k in model.state_dict())
    of_a_distillation = any(k.startswith(STUDENT_PREFIX) for k in state_dict)
    if distils and not of_a_distillation:  # it goes to the student, see adapt_state_dict
        state_dict = {f'{STUDENT_PREFIX}{k}': v for k, v in state_dict.items()}
    elif of_a_distillation and not distils:
        raise CheckpointError(f'{name} is of a distillation; load its student, the file *_student.pth beside it')
    check_start_fits(model, state_dict, name)


def finish() -> None:
    """Ends a process of a run of several; does nothing in a run of one process.

    DDP keeps the threads of gloo alive beyond ``destroy_process_group``. One of them that hands a tensor back to Python
    while the interpreter is being taken down aborts the process (``terminate called without an active exception``, exit
    code -6), and torchrun then reports a failed run whose results are all there. So the process ends here: what is
    registered for the exit is run, and the interpreter is not taken down.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    torch.distributed.destroy_process_group()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
