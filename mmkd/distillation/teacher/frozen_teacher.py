"""The frozen teacher: everything about it that must not leak into the training of the student."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel, revert_sync_batchnorm
from torch import Tensor, nn

from mmkd.utils.model_config import resolve_network

from .cache import OutputCache
from .early_exit import Tap, run_until_last_tap
from .isolation import iteration_seed, own_random_numbers, preserve_rng_state
from .network import build_network, device_of, is_mmengine_model, run_network
from .normalization import NormalizationBridge, build_preprocessor
from .precision import DTYPES, cast_weights, keep_in_float32, native_half
from .random_weights import without_pretrained
from .sources import SourceNetwork, source_teacher
from .weights import load_teacher_weights

__all__ = ['FrozenTeacher']

MODES = ('auto', 'tensor', 'loss')
OPTIONS = (
    *('ckpt', 'dtype', 'dtype_tolerance', 'float32_layers', 'channels_last'),
    *('mode', 'early_exit', 'normalize', 'allow_random', 'cache'),
)
NOT_GIVEN = object()


class FrozenTeacher:
    """A network that is looked at and never trained.

    It is deliberately not an ``nn.Module``: as an attribute of the algorithm it appears in no ``parameters()``,
    ``state_dict()`` or ``modules()``, hence in no optimizer, checkpoint, moving average or DDP wrapper. It is built,
    and its checkpoint read, when it is first needed; testing a student never needs it. Copies of an algorithm share it.

    * Every layer is in eval mode (dropout too) and no gradient is kept. ``no_grad``, not ``inference_mode``: an
      inference tensor may not enter a loss that saves it for backward.
    * ``dtype`` is its own: the student's mixed precision does not touch it.
    * It sees the images in its own normalisation, whatever the student's is (:class:`NormalizationBridge`).
    * It draws random numbers of its own, and what it does to data samples is done to copies.
    * Its forward ends at the last tap (:func:`run_until_last_tap`).

    Args:
        network: A built model, or its config (see :func:`resolve_network`). It need not be mmengine's: of any other
            module the forward is called with the images alone.
        ckpt: The checkpoint: a path or an address (see :func:`mmkd.utils.download.open_address`). A distillation
            checkpoint stands for its student. Not needed for a built model.
        dtype: ``'float32'``, ``'bfloat16'``, ``'float16'``, or ``'auto'``: half precision where the device computes in
            it (:func:`native_half`) and the dry run before training has found that the losses stay what they are,
            float32 elsewhere. Half precision is autocast, with the weights cast once.
        dtype_tolerance: By which part of itself a loss may differ from that of a float32 teacher in the dry run.
        float32_layers: Modules, by name or class, that stay in float32 (:func:`keep_in_float32`).
        mode: What the forward is asked for. ``'tensor'``: outputs only. ``'loss'``: as in training, with targets
            assigned and losses computed, for taps that are reached in no other way. ``'auto'``: the first, unless
            something is recorded that needs the second.
        early_exit: Whether the forward ends at the last tap.
        normalize: Whether images are converted to the teacher's normalisation.
        allow_random: Whether ``ckpt`` may be missing, for trials without a trained teacher.
        channels_last: Whether it computes in that memory layout; default where it computes in half precision, which is
            then faster.
        cache: ``dict(dir=..., views=...)`` to keep its outputs on disk: see :class:`OutputCache`.
        data_preprocessor: What normalises its images, ``dict(mean=..., std=..., bgr_to_rgb=...)`` as of mmengine's
            ``ImgDataPreprocessor`` (see :func:`build_preprocessor`); default the network's own. A network without one
            takes the student's images as they are, with a warning.

    Raises:
        ValueError: An option has a value that is not known.
        TypeError: ``network`` is neither a module nor a dict.
    """

    def __init__(
        self,
        network: nn.Module | Mapping,
        ckpt: str | None = None,
        dtype: str | None = 'auto',
        dtype_tolerance: float = 0.05,
        float32_layers: Sequence[str] = (),
        channels_last: bool | None = None,
        mode: str = 'auto',
        early_exit: bool = True,
        normalize: bool = True,
        allow_random: bool = False,
        cache: Mapping | None = None,
        data_preprocessor: Mapping | None = None,
    ):
        if dtype not in ('auto', *DTYPES):
            raise ValueError(f'teacher.dtype: one of {["auto", *DTYPES]} was expected, got {dtype!r}')
        if not isinstance(dtype_tolerance, Real) or not dtype_tolerance >= 0:
            raise ValueError(f'teacher.dtype_tolerance: a number of at least 0 was expected, got {dtype_tolerance!r}')
        if mode not in MODES:
            raise ValueError(f'teacher.mode: one of {MODES} was expected, got {mode!r}')
        if not isinstance(network, (nn.Module, Mapping)):
            raise TypeError(f'teacher: a model, its config or a dict with cfg_path was expected, got {network!r}')
        self.network = network
        self.ckpt = ckpt
        self.chooses_dtype = dtype == 'auto'
        self.dtype = None if self.chooses_dtype else DTYPES[dtype]  # None: float32
        self.dtype_tolerance = dtype_tolerance
        self.float32_layers = [float32_layers] if isinstance(float32_layers, str) else list(float32_layers)
        self.mode = mode
        self.early_exit = early_exit
        self.normalize = normalize
        self.allow_random = allow_random
        self.channels_last = channels_last
        self.cache = None if cache is None else OutputCache.from_config(cache)
        self._preprocessor = None if data_preprocessor is None else _preprocessor_of(data_preprocessor)
        # Names of the weights that its network is needed for, or None for all; set by the algorithm.
        self.needed: Callable[[nn.Module], Collection[str] | None] | None = None
        self.absent: list[str] = []  # weights that the checkpoint has not, and that are not needed
        self.known_calls: dict[str, int] = {}  # see run_until_last_tap
        self._model: nn.Module | None = None
        self._settled = False  # see settle_precision
        self._device: torch.device | None = None
        self._bridge: tuple[nn.Module | None, NormalizationBridge | None] | None = None

    @classmethod
    def from_config(cls, teacher: nn.Module | Mapping, teacher_ckpt: Any = NOT_GIVEN) -> FrozenTeacher:
        """Reads mmkd's form, ``dict(cfg_path=..., ckpt=..., dtype=...)``, and mmrazor's, with ``teacher_ckpt`` beside.

        The options of a network that is built, or takes arguments of the same names, stand apart from it:
        ``dict(model=<module or config>, dtype=..., data_preprocessor=...)``.

        So do those of another library: ``dict(source='timm', name=..., ckpt=...)``, see :func:`source_teacher`.

        mmrazor starts without a checkpoint where ``teacher_ckpt=None``. Written out like this it does so here too, with
        a warning; a checkpoint that is simply missing is an error once the teacher is needed.

        Raises:
            ValueError: Two different checkpoints are given, or a key beside ``model`` is unknown.
        """
        options = {}
        if isinstance(teacher, Mapping):
            if 'source' in teacher:
                teacher = source_teacher(teacher, OPTIONS)
            apart = 'model' in teacher and not {'type', 'cfg_path'} & set(teacher)
            names = (*OPTIONS, 'data_preprocessor') if apart else OPTIONS
            options = {key: teacher[key] for key in names if key in teacher}
            teacher = {key: value for key, value in teacher.items() if key not in names}
            if apart:
                unknown = sorted(set(teacher) - {'model', '_scope_'})
                if unknown:
                    raise ValueError(f'teacher: beside model the keys are {", ".join(names)}, got {unknown[0]!r}')
                teacher = teacher['model']
        if teacher_ckpt is not NOT_GIVEN:
            if None not in (teacher_ckpt, options.get('ckpt')) and teacher_ckpt != options['ckpt']:
                raise ValueError(f'teacher.ckpt={options["ckpt"]!r} and teacher_ckpt={teacher_ckpt!r} contradict')
            if options.get('ckpt') is None:
                options['ckpt'] = teacher_ckpt
            options.setdefault('allow_random', options['ckpt'] is None)
        return cls(teacher, **options)

    def __deepcopy__(self, memo: dict) -> FrozenTeacher:
        """Shared: it never changes, and a moving average of the algorithm has no use for a second one."""
        return self

    # ---- building ----------------------------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the network exists with its weights."""
        return self._model is not None

    @property
    def model(self) -> nn.Module:
        """The network; built at the first look."""
        return self.build()

    def build(self, device: torch.device | str | None = None) -> nn.Module:
        """Builds the network and loads its weights, unless that has been done, and puts it on ``device``.

        Raises:
            ValueError: The config cannot be read, there is no checkpoint, or it does not fit.
            FileNotFoundError: The checkpoint does not exist.
        """
        if self._model is None:
            with preserve_rng_state():
                self._model = self._freeze(self._load())
            device = device or self._device
        if device is not None:
            self.to(device)
        return self._model

    def skeleton(self) -> nn.Module:
        """The network with any weights, to look at the shapes of what it computes.

        It is thrown away after: a test run, which may ask for it, has no use for a teacher. (On the ``meta`` device it
        would need no memory, but PyTorch loads its compiler for that, which takes longer than building any teacher.)

        Raises:
            ValueError: The config cannot be read.
        """
        if self._model is not None or isinstance(self.network, nn.Module):
            return self._model or self.network
        with preserve_rng_state():
            return revert_sync_batchnorm(build_network(self._config()))

    def _config(self) -> Mapping:
        """The full config of the network. What is no mmengine model knows of no preprocessor: it is used here."""
        config = resolve_network(self.network, 'teacher')
        if 'data_preprocessor' in config and not is_mmengine_model(config):
            self._preprocessor = _preprocessor_of(config.pop('data_preprocessor'))
        return config

    def _load(self) -> nn.Module:
        key, ckpt = 'teacher.ckpt', self.ckpt
        if isinstance(self.network, nn.Module):
            if ckpt is not None:
                self.absent = load_teacher_weights(self._freeze(self.network), ckpt, key, self.needed)
            return self.network
        config = self._config()
        if ckpt is None:
            key, ckpt = 'teacher.init_cfg.checkpoint', _pretrained_by_init_cfg(config)
        model = self._freeze(build_network(config if ckpt is not None else without_pretrained(config)))
        if ckpt is None and not (self.allow_random or getattr(model, 'has_weights', False)):
            raise ValueError(
                'teacher.ckpt: a checkpoint was expected, got none; without one the student would learn from random '
                'weights (teacher.allow_random=True to try just that)'
            )
        if ckpt is not None:
            self.absent = self._load_weights(model, ckpt, key)
        elif not getattr(model, 'has_weights', False):
            if hasattr(model, 'init_weights'):  # some layers have any numbers in them before
                model.init_weights()
            print_log(
                'teacher.ckpt: there is none, THE TEACHER HAS RANDOM WEIGHTS. What the student learns is worthless.',
                logger='current',
                level=logging.WARNING,
            )
        return model

    def _load_weights(self, model: nn.Module, ckpt: str, key: str) -> list[str]:
        if isinstance(model, SourceNetwork):
            if model.load_weights(ckpt):
                return []
            model = model.backbone
        return load_teacher_weights(model, ckpt, key, self.needed)

    def _freeze(self, model: nn.Module) -> nn.Module:
        # In eval mode a synchronised batch norm synchronises nothing, and some do not run on a CPU at all.
        model = revert_sync_batchnorm(model).requires_grad_(False).eval()
        keep_in_float32(model, self.float32_layers)
        return model.to(memory_format=torch.channels_last) if self.channels_last else model

    def half_precision(self, device: torch.device) -> torch.dtype | None:
        """The precision that is asked for, or that the device has for ``'auto'``; None for float32."""
        return native_half(device) if self.chooses_dtype else self.dtype

    def settle_precision(self) -> None:
        """Brings the weights into the precision that it has from now on: nobody needs those of float32 any more.

        But for a network that was handed over built, which may have other uses: there autocast does it time and again.
        """
        if self.dtype is None or self._settled:
            return
        self._settled = True
        if not isinstance(self.network, nn.Module):
            cast_weights(self.model, self.dtype)
        if self.channels_last is None:
            self.channels_last = True
            self.model.to(memory_format=torch.channels_last)

    def to(self, device: torch.device | str) -> FrozenTeacher:
        """Moves the network; one that is not built yet, once it is."""
        self._device = torch.device(device)
        if self._model is not None and device_of(self._model) not in (None, self._device):
            self._model.to(device)
        return self

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(
        self,
        inputs: Tensor,
        data_samples: Sequence | None = None,
        student_preprocessor: nn.Module | None = None,
        taps: Sequence[Tap] | None = None,
    ) -> None:
        """Runs the forward for what recorders see of it; the output itself is dropped.

        Args:
            inputs: The student's batch (N, C, H, W).
            data_samples: Its data samples.
            student_preprocessor: What normalised the batch.
            taps: All that is read, so that the forward may end there; None to run it to its end.
        """
        model = self.build(inputs.device)
        if model.training:
            model.eval()
        mode = 'tensor' if self.mode == 'auto' else self.mode
        if mode == 'loss':  # computing losses, some models change the ground truth
            data_samples = copy.deepcopy(data_samples)
        iteration = MessageHub.get_current_instance().get_info('iter') or 0  # the Runner's
        random_numbers = own_random_numbers(iteration_seed(iteration))
        with torch.no_grad(), self._precision(inputs.device), random_numbers:
            bridge = self._bridge_from(student_preprocessor)
            images = inputs if bridge is None else bridge(inputs, data_samples)
            if self.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)

            def forward() -> None:
                run_network(model, images, data_samples, mode)

            if taps is None or not self.early_exit:
                forward()
            else:
                run_until_last_tap(model, taps, forward, self.known_calls)

    def val_step(self, data: dict | tuple | list) -> list:
        """Predicts a batch of the data loader, with the teacher's own preprocessor, as ``BaseModel.val_step`` does.

        Raises:
            ValueError: Its checkpoint has no more than distillation needs.
        """
        model = self.model
        if self.absent:
            raise ValueError(
                f'teacher.ckpt: {self.ckpt!r} has no {self.absent[0]!r}, so the teacher cannot predict; leave its '
                'evaluation out (TeacherEvaluationHook, val_cfg.evaluate_teacher) or give a complete checkpoint'
            )
        with torch.no_grad(), self._precision(device_of(model) or torch.device('cpu')):
            return model.val_step(data)

    @contextmanager
    def inference(self, device: torch.device) -> Iterator[None]:
        """For running a part of the network on the side: without a graph, in the teacher's own precision."""
        with torch.no_grad(), self._precision(device):
            yield

    def _precision(self, device: torch.device) -> torch.autocast:
        # 'disabled' matters: within the student's autocast a plain block would be in its precision
        return torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def check_normalization(self, student_preprocessor: nn.Module | None) -> None:
        """Looks, before training, whether images can be converted from the student's normalisation.

        Raises:
            ValueError: Of one of the preprocessors it is not known what it does.
        """
        self._bridge_from(student_preprocessor)

    def _bridge_from(self, student_preprocessor: nn.Module | None) -> NormalizationBridge | None:
        if not self.normalize or student_preprocessor is None:
            return None
        if self._bridge is None or self._bridge[0] is not student_preprocessor:
            own = self.data_preprocessor
            if own is None and not isinstance(self.model, BaseModel):
                print_log(
                    f'The teacher, a {type(self.model).__name__}, has no data_preprocessor: it sees the images '
                    'normalised for the student. teacher=dict(..., data_preprocessor=dict(mean=..., std=...)) converts '
                    'them, normalize=False says that they are meant to be the same.',
                    logger='current',
                    level=logging.WARNING,
                )
            self._bridge = (student_preprocessor, NormalizationBridge.between(student_preprocessor, own))
        return self._bridge[1]

    # ---- what mmrazor's SingleTeacherDistillValLoop asks of a teacher ------------------------------------------------

    @property
    def data_preprocessor(self) -> nn.Module | None:
        """The teacher's own preprocessor."""
        model = self.model  # building it may find the preprocessor in its config
        return self._preprocessor or getattr(model, 'data_preprocessor', None)

    @data_preprocessor.setter
    def data_preprocessor(self, preprocessor: nn.Module) -> None:
        print_log(
            "The teacher keeps its own data_preprocessor. mmrazor's SingleTeacherDistillValLoop replaces it by the "
            "student's, evaluates the unchanging teacher at every validation and, together with EMAHook, swaps the "
            "averaged weights into the training: val_cfg=dict(type='mmkd.DistillValLoop') does none of it.",
            logger='current',
            level=logging.WARNING,
        )


def _pretrained_by_init_cfg(config: Mapping) -> str | None:
    init_cfg = config.get('init_cfg')
    if isinstance(init_cfg, Mapping) and init_cfg.get('type') == 'Pretrained' and not init_cfg.get('prefix'):
        return init_cfg.get('checkpoint')
    return None


def _preprocessor_of(config: Mapping) -> nn.Module:
    return build_preprocessor(config, 'teacher.data_preprocessor')
