"""One class that tests every distillation loss in the same way; a loss's own tests are added to the subclass."""

import copy
import itertools
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd.distillation.losses.context import asked_for
from mmkd.registry import MODELS

GOLDENS = Path(__file__).parents[1] / 'data' / 'goldens' / 'skd.npz'


def golden_tensors():
    """The arrays of the structured-knowledge-distillation goldens as tensors."""
    with np.load(GOLDENS) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def grid(**values):
    """All combinations, as a list of dicts: ``grid(a=(1, 2), b=(3,))`` is ``[{a: 1, b: 3}, {a: 2, b: 3}]``."""
    return [dict(zip(values, items, strict=True)) for items in itertools.product(*values.values())]


def draw(*shapes, seed=0, dtype=torch.float32):
    """Normal tensors, the same in every run."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def value_and_gradient(function, student, teacher, **options):
    student = student.clone().requires_grad_()
    loss = function(student, teacher, **options)
    (gradient,) = torch.autograd.grad(loss, student)
    return loss.detach(), gradient


def assert_same(actual, expected, rtol, what='value'):
    """Relative to the largest number of ``expected``: single numbers of a gradient may be close to zero."""
    atol = rtol * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol, msg=lambda m: f'{what}: {m}')


def mmrazor_losses():
    """mmrazor's own losses, or a skip where it is not installed."""
    if find_spec('mmrazor') is None:
        pytest.skip('mmrazor is not installed')
    from mmkd.compat import import_mmrazor

    import_mmrazor()
    import mmrazor.models.losses as losses

    return losses


class LossTester:
    """Set the attributes and get the tests."""

    function = None  # staticmethod: the pure function
    module = None  # the module class
    shapes = ()  # pairs of the student's and the teacher's shape
    needed = {}  # options that the module has to be given
    options = ({},)  # options of the function; each is compared with the naive formula on each pair of shapes
    bad_options = ()  # (options, pattern of the message)
    bad_shapes = ()  # (student's shape, teacher's shape, pattern of the message)
    gradcheck_options = ({},)  # the options of which the gradient is the exact one

    @staticmethod
    def naive(student, teacher, **options):
        """The formula as the paper has it, in float64, with loops where they are clearer."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc):
        for name, attribute in (
            ('shapes', 'shapes'),
            ('options', 'options'),
            ('bad_option', 'bad_options'),
            ('bad_shape', 'bad_shapes'),
            ('gradcheck_option', 'gradcheck_options'),
        ):
            if name in metafunc.fixturenames:
                values = getattr(metafunc.cls, attribute)
                metafunc.parametrize(name, values, ids=[_short_id(value) for value in values])

    def one_pair(self, **kwargs):
        return draw(*self.shapes[0], **kwargs)

    # smoke

    def test_smoke_scalar_with_finite_gradient(self, shapes):
        student, teacher = draw(*shapes)
        loss, gradient = value_and_gradient(self.function, student, teacher)
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        assert gradient.shape == student.shape
        assert torch.isfinite(gradient).all()

    def test_loss_is_positive_and_zero_between_equal_maps(self):
        student, _ = self.one_pair()
        teacher = draw(student.shape, seed=1)[0]
        assert self.function(student, teacher) > 0
        assert abs(self.function(student, student)) < 1e-6

    # values

    def test_equals_the_naive_formula(self, shapes, options):
        pair = draw(*shapes, dtype=torch.float64)
        expected = value_and_gradient(self.naive, *pair, **options)
        for dtype, rtol in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
            actual = value_and_gradient(self.function, *(x.to(dtype) for x in pair), **options)
            for what, a, e in zip(('value', 'gradient'), actual, expected, strict=True):
                if e.abs().max() < 1e-6:  # nothing to learn, as in a softmax over one class: only rounding is left
                    assert a.abs().max() < 1e-6
                else:
                    assert_same(a, e.to(dtype), rtol, f'{what} in {dtype}')

    def test_gradcheck(self, gradcheck_option):
        student, teacher = self.one_pair(dtype=torch.float64)
        student.requires_grad_()
        assert torch.autograd.gradcheck(lambda s: self.function(s, teacher, **gradcheck_option), student)

    def test_value_does_not_grow_with_the_batch(self):
        student, teacher = self.one_pair()
        twice = self.function(torch.cat([student, student]), torch.cat([teacher, teacher]))
        torch.testing.assert_close(twice, self.function(student, teacher))

    def test_memory_format_does_not_matter(self):
        student, teacher = self.one_pair()
        expected = self.function(student, teacher)
        for change in (
            lambda x: x.contiguous(memory_format=torch.channels_last),
            lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        ):
            torch.testing.assert_close(self.function(change(student), change(teacher)), expected)

    # rules of the core

    def test_teacher_gets_no_gradient(self):
        student, teacher = self.one_pair()
        student.requires_grad_(), teacher.requires_grad_()
        self.function(student, teacher).backward()
        assert teacher.grad is None
        assert student.grad.abs().max() > 0

    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        student, teacher = (x.to(dtype) for x in self.one_pair())
        loss, gradient = value_and_gradient(self.function, student, teacher)
        assert loss.dtype == torch.float32
        assert gradient.dtype == dtype
        assert torch.equal(loss, self.function(student.float(), teacher.float()))

    def test_precision_of_the_teacher_may_differ(self):
        student, teacher = self.one_pair()
        loss = self.function(student, teacher.bfloat16())
        assert torch.equal(loss, self.function(student, teacher.bfloat16().float()))

    def test_autocast_changes_nothing(self):
        student, teacher = self.one_pair()
        expected = value_and_gradient(self.function, student, teacher)
        student.requires_grad_()
        with torch.autocast('cpu', dtype=torch.bfloat16):
            loss = self.function(student, teacher)
        loss.backward()
        assert torch.equal(loss, expected[0])
        assert torch.equal(student.grad, expected[1])

    # exceptions

    def test_bad_option_is_refused_by_function_and_module(self, bad_option):
        options, pattern = bad_option
        with pytest.raises(ValueError, match=pattern):
            self.function(*self.one_pair(), **options)
        with pytest.raises(ValueError, match=pattern):
            self.module(**options)

    def test_bad_shape_is_refused_with_both_shapes(self, bad_shape):
        student_shape, teacher_shape, pattern = bad_shape
        with pytest.raises(ValueError, match=pattern) as error:
            self.function(torch.zeros(student_shape), torch.zeros(teacher_shape))
        assert str(tuple(student_shape)) in str(error.value)

    def test_what_is_no_tensor_is_refused(self):
        student, teacher = self.one_pair()
        with pytest.raises(TypeError, match='teacher must be a tensor, but is a list'):
            self.function(student, [teacher])

    # module

    def test_module_is_the_weighted_function(self, options):
        student, teacher = self.one_pair()
        module = self.module(**{**self.needed, **options}, loss_weight=2.5)
        names = list(asked_for(module))[:2]
        assert names in (['preds_S', 'preds_T'], ['levels_S', 'levels_T'])
        loss = module(**dict(zip(names, (student, teacher), strict=True)))
        torch.testing.assert_close(loss, 2.5 * self.function(student, teacher, **options))

    def test_module_is_found_in_the_registry(self):
        for scope in ('', 'mmkd.'):
            assert type(MODELS.build(dict(type=scope + self.module.__name__, loss_weight=3.0))) is self.module

    def test_module_averages_over_levels(self):
        pairs = [draw(*self.shapes[0], seed=seed) for seed in range(3)]
        expected = sum(self.function(*pair) for pair in pairs) / 3 * 2.5
        loss = self.module(**self.needed, loss_weight=2.5)([p[0] for p in pairs], tuple(p[1] for p in pairs))
        torch.testing.assert_close(loss, expected)

    def test_module_refuses_unequal_numbers_of_levels(self):
        student, teacher = self.one_pair()
        with pytest.raises(ValueError, match='preds_S has 2 levels and preds_T has 1'):
            self.module(**self.needed)([student, student], [teacher])
        with pytest.raises(ValueError, match='preds_S has 0 levels'):
            self.module(**self.needed)([], [])
        with pytest.raises(TypeError, match='preds_S is a Tensor and preds_T a list'):
            self.module(**self.needed)(student, [teacher])

    def test_module_survives_pickle_and_deepcopy(self):
        loss = self.module(**{**self.needed, **self.options[-1]}, loss_weight=2.5)
        student, teacher = self.one_pair()
        expected = loss(student.requires_grad_(), teacher)
        for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
            assert torch.equal(other(student, teacher), expected)
            assert repr(other) == repr(loss)

    def test_module_has_no_state(self):
        assert not self.module().state_dict()

    def test_repr_names_the_options(self):
        assert 'loss_weight=2.5' in repr(self.module(loss_weight=2.5))


def _short_id(value):
    if isinstance(value, dict):
        return ','.join(f'{key}={item}' for key, item in value.items()) or 'default'
    if isinstance(value[0], dict):  # a bad option with its message
        return _short_id(value[0])
    return '-'.join('x'.join(map(str, shape)) for shape in value if isinstance(shape, tuple))
