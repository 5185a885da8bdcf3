"""The distillation algorithm: a student, a frozen teacher, and losses between what flows through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmkd.compat import import_mmrazor, load_checkpoints_safely
from mmkd.registry import MODELS
from mmkd.utils.model_config import resolve_network

from ..losses.context import LossContext, asked_for
from ..recipes.auto import choose_losses
from ..recipes.dense_distiller import DenseDistiller
from ..recipes.inherit import inherit_weights, parse_inherit
from ..recipes.mmrazor import build_distiller
from ..recipes.short_form import compile_short_form, parse_short_form
from ..taps.activation import settle_activations
from ..taps.channels import infer_channels
from ..taps.dry_run import check_losses, teacher_weights_read
from ..taps.gradients import warn_of_missing_gradients
from ..taps.recorders import Recorders
from ..taps.regions import RegionWatch, check_regions
from ..taps.tap import Tap
from ..taps.trial_sizes import TrialSizes
from ..teacher import FrozenTeacher
from ..teacher.frozen_teacher import NOT_GIVEN
from ..teacher.isolation import preserve_rng_state
from ..teacher.network import build_network
from .options import one_of
from .state_dict import adapt_state_dict
from .student_attributes import StudentAttributes
from .unlabelled import check_same_kinds, mean_over_parts, split_batch

import_mmrazor()
from mmrazor.models.algorithms import SingleTeacherDistill  # noqa: E402
from mmrazor.models.utils import add_prefix  # noqa: E402

__all__ = ['DenseDistill']


@MODELS.register_module()
class DenseDistill(StudentAttributes, SingleTeacherDistill):
    """Trains a student with its own losses and with distillation losses towards a frozen teacher.

    Takes the configs of mmrazor's ``SingleTeacherDistill`` and ``FpnTeacherDistill`` as they are, and a short form::

        model = dict(
            type='DenseDistill',
            student=dict(cfg_path='mmkd::centermask/centermask-lite_v19_fpn_ms-4x_coco.py'),
            teacher=dict(cfg_path='mmkd::centermask/centermask_v99_fpn_ms-3x_coco.py', ckpt='v99.pth'),
            distill=dict(
                fpn=dict(taps='neck', levels=(0, 1, 2), connector='conv1x1', loss=dict(type='PairWiseLoss')),
                cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss', activation='sigmoid'))))

    The losses are logged as ``student.<its name>`` and ``distill.loss_<name>``. Predictions, validation and testing are
    the student's; they neither build the teacher nor read its checkpoint. Hooks find the student's attributes at the
    algorithm (:class:`StudentAttributes`), and its optimizer is built from its own parameter names
    (:class:`mmkd.engine.DistillOptimWrapperConstructor`).

    Before training (in ``init_weights``, which mmengine's Runner calls then, or else at the first loss) the teacher is
    built and loaded, and one small image is run through both networks to check every tap, level, connector and loss.

    Args:
        student: The student: a model, its config, or a dict with ``cfg_path`` (see :func:`resolve_network`).
        teacher: The teacher, likewise or any other module, with the options of :class:`FrozenTeacher` beside: ``ckpt``,
            ``dtype`` and others. With a built module they stand in
            ``dict(model=<module>, dtype=..., data_preprocessor=dict(mean=..., std=..., bgr_to_rgb=...))``.
        distill: The losses in the short form, see :func:`parse_short_form`; or a recipe, see :func:`choose_losses`.
        distiller: The losses in mmrazor's vocabulary, in place of ``distill``. A ``ConfigurableDistiller`` is built as
            a :class:`DenseDistiller`, which understands ``levels`` in addition.
        inherit: Modules of the student that begin with the weights of the teacher's, which must be built alike:
            ``'bbox_head'``, several in a list, or ``dict(<the student's>='<the teacher's>')``. Copied when training
            starts; a checkpoint that is resumed or loaded from overwrites them.
        architecture: mmrazor's name of ``student``.
        teacher_ckpt: mmrazor's name of ``teacher.ckpt``. None, written out, starts with a random teacher.
        student_trainable: Whether the student learns; only without its own loss can it be False.
        calculate_student_loss: Whether the student's own losses are added.
        module_inplace: Leave the ``inplace`` options of the student's modules on, even where they write over a tap.
            What is recorded is then a copy.
        teacher_module_inplace: The same for the teacher.
        dry_run: Whether to check the losses before training; or ``dict(size=(H, W))`` of the image for it.
        teacher_trainable: Must be False: the teacher never trains.
        teacher_norm_eval: Must be True: the teacher is always in eval mode, in every layer.
        data_preprocessor: Takes the place of the student's.
        init_cfg: As in every mmengine model.

    Raises:
        ValueError: A key is missing, contradicts another, or asks for what a frozen teacher cannot do.
        TypeError: The student is no mmengine model.
    """

    # Every run has them, whatever the config says about hooks, see mmkd.engine.prepare_runner.
    runner_hooks = (
        dict(type='mmkd.StudentCheckpointHook'),
        dict(type='mmkd.FiniteLossHook'),
        dict(type='mmkd.GradientShareHook'),
        dict(type='mmkd.ValidationPanelsHook'),
        dict(type='mmkd.TeacherCacheHook'),
    )
    optimizes_student = True  # its optimizer is the student's, built as without a teacher

    def __init__(
        self,
        student: BaseModel | Mapping | None = None,
        teacher: nn.Module | Mapping | None = None,
        distill: str | Mapping[str, Mapping] | None = None,
        distiller: nn.Module | Mapping | None = None,
        *,
        inherit: str | Sequence[str] | Mapping[str, str] | None = None,
        architecture: BaseModel | Mapping | None = None,
        teacher_ckpt: Any = NOT_GIVEN,
        student_trainable: bool = True,
        calculate_student_loss: bool = True,
        module_inplace: bool = False,
        teacher_module_inplace: bool = False,
        dry_run: bool | Mapping = True,
        teacher_trainable: bool = False,
        teacher_norm_eval: bool = True,
        data_preprocessor: Mapping | nn.Module | None = None,
        init_cfg: Mapping | None = None,
    ):
        load_checkpoints_safely()  # what mmengine loads into the student as well
        student = one_of('student', student, 'architecture', architecture)
        losses = one_of('distill', distill, 'distiller', distiller)
        if teacher is None:
            raise ValueError('teacher: missing')
        if teacher_trainable or not teacher_norm_eval:
            raise ValueError('teacher_trainable=False and teacher_norm_eval=True were expected, a teacher never trains')
        if not student_trainable and calculate_student_loss:
            raise ValueError('student_trainable=False needs calculate_student_loss=False')
        if isinstance(student, Mapping):
            student = build_network(resolve_network(student, 'student'))

        # Past SingleTeacherDistill's own __init__, which would build and load the teacher, as a child of this module.
        super(SingleTeacherDistill, self).__init__(
            architecture=student, data_preprocessor=data_preprocessor, init_cfg=init_cfg, module_inplace=module_inplace
        )
        self.teacher = FrozenTeacher.from_config(teacher, teacher_ckpt)
        self.student_trainable = student_trainable
        self.calculate_student_loss = calculate_student_loss
        self.inherit = parse_inherit(inherit)
        self.dry_run = bool(dry_run)
        self.trial_sizes = TrialSizes.from_config(dry_run, self.student)
        self.distillation_stopped = False  # set by mmrazor's StopDistillHook
        self._prepared = False
        self._gradients_checked = False
        self._regions = RegionWatch({})
        self._not_inferred: Exception | None = None

        with preserve_rng_state():
            self.distiller = self._build_distiller(losses, short=distill is not None)
        self.student_recorders.keep_inplace = module_inplace
        self.teacher_recorders.keep_inplace = teacher_module_inplace
        self.student_recorders.initialize(self.student)
        self.teacher.needed = partial(teacher_weights_read, self)

    @property
    def student_recorders(self) -> Recorders:
        """What is recorded of the student."""
        return self.distiller.student_recorders

    @property
    def teacher_recorders(self) -> Recorders:
        """What is recorded of the teacher."""
        return self.distiller.teacher_recorders

    @property
    def knows_what_is_read(self) -> bool:
        """Whether the losses are computed by mmkd's distiller, of which it is known what they read."""
        return isinstance(self.distiller, DenseDistiller)

    # ---- building ----------------------------------------------------------------------------------------------------

    def _build_distiller(self, losses: nn.Module | Mapping, short: bool) -> nn.Module:
        return build_distiller(self._compile(losses) if short else losses)

    def _compile(self, distill: str | Mapping) -> dict:
        """The short form, written out. Connectors of unknown size are left out until training asks for them."""
        try:
            distill = choose_losses(distill, self.student, self.teacher, self.trial_sizes)
        except Exception as error:  # in testing it does not matter that the teacher's config is not there
            self._not_inferred = error
            return dict(type='mmkd.DenseDistiller')
        entries = parse_short_form(distill)
        try:
            channels = self.trial_sizes.first_that_works(partial(infer_channels, entries, self.student, self.teacher))
        except Exception as error:  # likewise
            self._not_inferred, channels = error, {}
        return compile_short_form(entries, channels)

    def prepare(self) -> None:
        """Builds and loads the teacher and checks the losses, once.

        Raises:
            ValueError: A config key is wrong, the checkpoint does not fit, or a loss cannot be computed.
            FileNotFoundError: The teacher's checkpoint does not exist.
        """
        if self._prepared:
            return
        device = next(self.student.parameters()).device
        model = self.teacher.build(device)
        self.teacher_recorders.initialize(model)
        if isinstance(self._not_inferred, ValueError):  # a tap or a level that does not exist
            raise ValueError(str(self._not_inferred)) from self._not_inferred
        if self._not_inferred is not None:
            raise ValueError(
                'distill: the numbers of channels of the connectors were not found by running both networks: '
                f'{type(self._not_inferred).__name__}: {self._not_inferred}. Write them out in the connectors, with '
                'levels: connector=dict(type=..., in_channels=..., out_channels=...)'
            ) from self._not_inferred
        if self.teacher.mode == 'auto' and not self._reads_modules_only():
            self.teacher.mode = 'loss'
        self.teacher.check_normalization(self.data_preprocessor)
        on_regions = check_regions(self.distiller, self.student, model) if self.knows_what_is_read else {}
        self._regions = RegionWatch({self.distiller.title(name): source for name, source in on_regions.items()})
        settle_activations(self.distiller, self.student, model)
        if self.dry_run:
            check_losses(self)
        if self.teacher.cache is not None:
            self.teacher.cache.check(self)
        self._prepared = True
        print_log(f'Distillation: {self._summary(model)}', logger='current')

    def _summary(self, teacher: nn.Module) -> str:
        def millions(model: nn.Module) -> str:
            return f'{type(model).__name__}, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters'

        losses = ', '.join(f'distill.{name}' for name in self.distiller.loss_forward_mappings)
        return (
            f'student {millions(self.student)}; teacher {millions(teacher)}, {self.teacher.ckpt or "no checkpoint"}, '
            f'{self.teacher.dtype or torch.float32}; {losses}'
        )

    def _reads_modules_only(self) -> bool:
        return self.teacher_recorders.read_network_alone and not self.distiller.deliveries.deliveries

    def init_weights(self) -> None:
        """Initialises the student and the connectors, and makes the teacher ready: training is about to begin."""
        self.teacher.build()  # before anything that takes long, for mistakes in the config
        super().init_weights()
        inherit_weights(self.student, self.teacher.model, self.inherit)
        self.prepare()

    # ---- training ----------------------------------------------------------------------------------------------------

    def loss(self, batch_inputs: Tensor, data_samples: Sequence | None = None) -> dict[str, Tensor]:
        """The student's losses and the distillation losses of a batch.

        Images whose data samples are marked as unlabelled (:class:`mmkd.datasets.UnlabelledDataset`) have no part in
        the student's own losses. Both networks run on them apart from the others, so that batch norms take them as a
        batch of their own; the distillation losses are the mean over all images.

        Args:
            batch_inputs: Images (N, C, H, W), normalised for the student.
            data_samples: What else is known of them, with the ground truth.

        Returns:
            Losses by name.

        Raises:
            ValueError: A loss or the teacher needs labels, and there are images without; or the processes of a run
                have different kinds of images in this batch.
        """
        parts = split_batch(data_samples)
        check_same_kinds(parts)
        if not parts:
            return self._losses_of(batch_inputs, data_samples)
        losses, distill, sizes = {}, [], []
        for labelled, indices in parts:
            found = self._losses_of(batch_inputs[indices], [data_samples[i] for i in indices], labelled)
            distill.append({name: found.pop(name) for name in list(found) if name.startswith('distill.')})
            losses.update(found)
            sizes.append(len(indices))
        if not losses and self.calculate_student_loss:  # DDP waits for a gradient of all that only labels train
            losses['student.loss_unlabelled'] = 0 * sum(p.sum() for p in self.student.parameters() if p.requires_grad)
        return {**losses, **mean_over_parts(distill, sizes)}

    def _losses_of(
        self, batch_inputs: Tensor, data_samples: Sequence | None, labelled: bool = True
    ) -> dict[str, Tensor]:
        """The losses of images that all have labels, or all have none."""
        if self.distillation_stopped:
            own = self._student_losses(batch_inputs, data_samples) if labelled else {}
            return {**own, **self._stopped_losses()}
        self.prepare()
        if not labelled:
            self._check_no_labels_are_needed()
        try:
            self.distiller.set_deliveries_override(False)
            context = self.context(batch_inputs, data_samples if labelled else None)
            self.run_teacher(batch_inputs, data_samples, context.iteration)
            self.distiller.set_deliveries_override(True)
            # the deliveries first: what is recorded is what the network goes on with
            regions = self._regions.attached(self.student, 'student')
            with self.distiller.deliveries, regions, self.student_recorders.attached(self.student):
                losses = self._student_losses(batch_inputs, data_samples, labelled)
            self._regions.check()
            taught = self.distill_losses(context)
            self._check_gradients(taught, context)
            return {**losses, **taught}
        finally:
            self.clear_records()

    def run_teacher(
        self, batch_inputs: Tensor, data_samples: Sequence | None = None, iteration: int | None = None
    ) -> None:
        """Records the teacher on a batch, until everything is recorded that the losses of an iteration read.

        In training, ``teacher.cache`` may have the records already.
        """
        if self._prepared:  # in training: what inherits the teacher's weights has done so
            self.teacher.settle_precision()
        knows_taps = self.knows_what_is_read and self._reads_modules_only()
        taps = self.distiller.teacher_taps(iteration) if knows_taps else None
        if self.teacher.cache is None or not self._prepared or not taps:
            self._run_teacher(batch_inputs, data_samples, taps)
            return
        run = partial(self._run_teacher, batch_inputs, data_samples, self.teacher_recorders.taps)
        self.teacher.cache.record(self, batch_inputs, data_samples, run)

    def _run_teacher(self, batch_inputs: Tensor, data_samples: Sequence | None, taps: Sequence[Tap] | None) -> None:
        regions = self._regions.attached(self.teacher.model, 'teacher')
        with self.distiller.deliveries, regions, self.teacher_recorders.attached(self.teacher.model):
            self.teacher.run(batch_inputs, data_samples, self.data_preprocessor, taps)

    def context(self, batch_inputs: Tensor, data_samples: Sequence | None) -> LossContext:
        """What losses may ask for. A subclass that has more to offer adds it here."""
        iteration = MessageHub.get_current_instance().get_info('iter')  # the Runner's
        return LossContext(self.student, self.teacher, batch_inputs, data_samples, iteration)

    def distill_losses(self, context: LossContext) -> dict[str, Tensor]:
        """The distillation losses of what is recorded. A subclass that reads the records does it here."""
        given = [context] if self.knows_what_is_read else []
        return add_prefix(self.distiller.compute_distill_losses(*given), 'distill')

    def _check_gradients(self, losses: Mapping[str, Tensor], context: LossContext) -> None:
        """Says, in the first step of training, which losses teach nothing."""
        if self._gradients_checked or not (self.training and self.student_trainable and torch.is_grad_enabled()):
            return
        self._gradients_checked = True
        if self.knows_what_is_read:
            warn_of_missing_gradients(self.distiller, losses, context.iteration)

    def _check_no_labels_are_needed(self) -> None:
        losses = getattr(self.distiller, 'distill_losses', {})
        needing = [name for name, loss in losses.items() if asked_for(loss).get('data_samples')]
        if needing:
            raise ValueError(f'distill: {needing[0]} looks at the labels, and there are images without (unlabelled)')
        if self.teacher.mode == 'loss':
            raise ValueError("teacher.mode='loss' computes losses of the labels, and there are images without")

    def _student_losses(
        self, batch_inputs: Tensor, data_samples: Sequence | None, labelled: bool = True
    ) -> dict[str, Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.student_trainable):
            if not labelled:
                self.student(batch_inputs, data_samples, mode='tensor')
                return {}
            losses = self.student(batch_inputs, data_samples, mode='loss')
        return add_prefix(losses, 'student') if self.calculate_student_loss else {}

    def _stopped_losses(self) -> dict[str, Tensor]:
        """Zeros that still depend on the connectors: DDP waits for a gradient of everything that trains."""
        trained = [p.sum() for p in self.distiller.parameters() if p.requires_grad]
        zero = 0 * (sum(trained) if trained else next(self.student.parameters()).new_zeros(()))
        return {f'distill.{name}': zero for name in self.distiller.loss_forward_mappings}

    def clear_records(self) -> None:
        """Lets go of all that is recorded, and of the graph behind it."""
        self.student_recorders.clear()
        self.teacher_recorders.clear()

    # ---- what would otherwise be mmrazor's way -----------------------------------------------------------------------

    def train(self, mode: bool = True) -> DenseDistill:
        """Sets the mode of the student and the distiller. The teacher, no part of the module, stays in eval mode."""
        return super(SingleTeacherDistill, self).train(mode)

    def set_module_inplace_false(self, architecture: nn.Module, varstr: str) -> None:
        """Does nothing: the recorders switch off what writes over a tap, and only that."""

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Loads, beside its own, state dicts of mmrazor's algorithms and of the student alone."""
        adapt_state_dict(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _apply(self, fn, *args, **kwargs) -> DenseDistill:
        """Takes the teacher along to another device. To another precision it does not go; it has its own."""
        super()._apply(fn, *args, **kwargs)
        parameter = next(self.architecture.parameters(), None) if 'architecture' in self._modules else None
        if parameter is not None and 'teacher' in self.__dict__:
            self.teacher.to(parameter.device)
        return self
