"""Pair-wise distillation."""

import itertools

import pytest
import torch
from helpers.loss_tester import LossTester, assert_same, draw, golden_tensors, grid, value_and_gradient

import mmkd.distillation.losses.pair_wise as pair_wise
from mmkd.distillation.losses import PairWiseLoss, pair_wise_loss

EXACT = dict(detach_norm=False)


class TestPairWiseLoss(LossTester):
    function = staticmethod(pair_wise_loss)
    module = PairWiseLoss
    shapes = [((2, 3, 5, 4), (2, 4, 5, 4)), ((1, 2, 6, 6), (1, 2, 6, 6)), ((2, 1, 3, 1), (2, 5, 3, 1))]
    options = [
        *grid(pool=('max', 'avg'), scale=(0.5, 0.34, 1.0), detach_norm=(True, False)),
        *grid(pool=('max', 'avg'), node_size=(1, 2, (2, 1))),
        *grid(pool=('avg',), nodes=(1, (2, 1))),
        *grid(pool=(None,), method=('auto', 'direct', 'gram'), detach_norm=(True, False)),
        *grid(pool=(None,), connection_radius=(0, 1, 2, 10)),
        *grid(reduction=('mean', 'batch_sum', 'sum')),
        dict(pool=None, connection_radius=1, reduction='sum'),
    ]
    gradcheck_options = [dict(pool=None, **EXACT, **m) for m in (*grid(method=('direct', 'gram')), {})] + [
        dict(pool=None, connection_radius=1, **EXACT),
        dict(pool='avg', node_size=2, **EXACT),
        dict(pool='max', scale=0.5, **EXACT),
    ]
    bad_options = [
        (dict(pool='min'), "pool: expected one of 'max', 'avg', None, but got 'min'"),
        (dict(scale=0), r'scale: expected a number in \(0, 1\], but got 0'),
        (dict(scale=1.5), 'scale'),
        (dict(node_size=0), 'node_size: expected one or two whole numbers above 0, but got 0'),
        (dict(node_size=(2, 2, 2)), 'node_size'),
        (dict(nodes=(2, 0.5)), 'nodes'),
        (dict(nodes=2, node_size=2), 'exclude each other'),
        (dict(pool=None, node_size=2), "node_size=2 needs pool='max' or 'avg'"),
        (dict(connection_radius=-1), 'connection_radius: expected a whole number'),
        (dict(connection_radius=1, method='gram'), "connection_radius needs method='auto', but got 'gram'"),
        (dict(eps=-1), 'eps'),
        (dict(reduction='avg'), "reduction: .* 'avg'"),
        (dict(method='fast'), "method: .* 'fast'"),
    ]
    bad_shapes = [
        ((2, 5, 4, 4), (1, 5, 4, 4), 'different batch sizes'),
        ((2, 5, 64, 64), (2, 5, 65, 65), r'node grids, \(2, 2\) and \(3, 3\).*nodes=\(h, w\)'),
        ((2, 5, 4), (2, 5, 4), r'maps \(N, C, H, W\)'),
        ((2, 5, 4, 4), (2, 5, 4), r'tokens \(N, L, C\)'),
    ]

    @staticmethod
    def naive(
        student,
        teacher,
        pool='max',
        scale=0.5,
        node_size=None,
        nodes=None,
        connection_radius=None,
        detach_norm=True,
        reduction='mean',
        method=None,
    ):
        def windows(size, axis):
            if nodes is not None:  # adaptive pooling: from floor(i * size / n) to ceil((i + 1) * size / n)
                n = (nodes, nodes)[axis] if isinstance(nodes, int) else nodes[axis]
                return [(i * size // n, -((-(i + 1) * size) // n)) for i in range(n)]
            k = max(1, int(size * scale))
            if node_size is not None:
                k = node_size if isinstance(node_size, int) else node_size[axis]
            if pool is None:
                k = 1
            return [(start, min(start + k, size)) for start in range(0, size, k)]

        def affinities(x):
            rows, columns = windows(x.shape[1], 0), windows(x.shape[2], 1)
            vectors, places = [], []
            for (i, (top, bottom)), (j, (left, right)) in itertools.product(enumerate(rows), enumerate(columns)):
                window = x[:, top:bottom, left:right].flatten(1)
                vectors.append(window.mean(1) if pool == 'avg' else window.max(1).values)
                places.append((i, j))
            norms = [v.norm() + 1e-8 for v in vectors]
            if detach_norm:
                norms = [v.detach() for v in norms]
            vectors = [v / n for v, n in zip(vectors, norms, strict=True)]
            distance = [[max(abs(a - c), abs(b - d)) for c, d in places] for a, b in places]
            near = torch.tensor(distance) <= (1e9 if connection_radius is None else connection_radius)
            return torch.stack(vectors) @ torch.stack(vectors).T, near

        losses = []
        for s, t in zip(student, teacher, strict=True):
            (a, near), (b, _) = affinities(s), affinities(t)
            losses.append(((a - b) ** 2 * near).sum() / (1 if reduction == 'sum' else near.sum()))
        return sum(losses) / (len(losses) if reduction == 'mean' else 1)

    @pytest.mark.parametrize('case', ['a', 'b', 'c'])
    def test_golden_of_the_released_code(self, case):
        arrays = golden_tensors()
        student, teacher = arrays[f'pair_{case}_S'], arrays[f'pair_{case}_T']
        scale = arrays[f'pair_{case}_scale'].item()
        loss, gradient = value_and_gradient(pair_wise_loss, student, teacher, scale=scale)
        assert_same(loss.double(), arrays[f'pair_{case}_loss'], 1e-5)
        assert_same(gradient, arrays[f'pair_{case}_gradS'], 1e-5)

    def test_golden_of_256_nodes_in_the_gram_form(self):
        arrays = golden_tensors()
        student, teacher = arrays['pair_c_S'], arrays['pair_c_T']
        loss, gradient = value_and_gradient(pair_wise_loss, student, teacher, pool=None, method='gram')
        assert_same(loss.double(), arrays['pair_c_loss'], 1e-5)
        assert_same(gradient, arrays['pair_c_gradS'], 1e-5)

    def test_feature_worked_by_hand(self):
        # student: two nodes at a right angle, affinities (1 0 / 0 1); teacher: at 60 degrees, (1 1/2 / 1/2 1)
        # loss = (0 + 1/4 + 1/4 + 0) / 4
        student = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).view(1, 2, 1, 2)
        teacher = torch.tensor([[3.0, 0.5], [0.0, 0.75**0.5]]).view(1, 2, 1, 2)
        for method in ('direct', 'gram'):
            assert pair_wise_loss(student, teacher, pool=None, method=method).item() == pytest.approx(0.125)

    def test_feature_gradient_with_and_without_the_norm(self):
        # f1 = (2, 0), f2 = (1, 1); a = cos 45 = r; teacher 0. L = (1 + 0 ...): only a12, a21 differ: L = 2 r^2 / 4
        # d a / d f1 = (f2 / |f2|) / |f1| = (r / 2, r / 2), of which (0, r / 2) is across f1; dL / da = r
        student = torch.tensor([[2.0, 1.0], [0.0, 1.0]]).view(1, 2, 1, 2)
        teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)
        exact = value_and_gradient(pair_wise_loss, student, teacher, pool=None, detach_norm=False)[1]
        torch.testing.assert_close(exact[0, :, 0, 0], torch.tensor([0.0, 0.25]))
        detached = value_and_gradient(pair_wise_loss, student, teacher, pool=None)[1]
        torch.testing.assert_close(detached[0, :, 0, 0], torch.tensor([0.25, 0.25]))

    def test_scale_and_rotation_of_the_features_do_not_matter(self):
        student, teacher = draw((2, 6, 5, 4), (2, 6, 5, 4))
        rotation = torch.linalg.qr(draw((6, 6), seed=3)[0]).Q
        turned = 7 * torch.einsum('dc,nchw->ndhw', rotation, student)
        expected = pair_wise_loss(student, teacher, pool=None)
        torch.testing.assert_close(pair_wise_loss(turned, teacher, pool=None), expected, rtol=1e-5, atol=0)

    # zero vectors

    @pytest.mark.parametrize(
        'case',
        [
            *grid(pool=(None,), method=('direct', 'gram'), detach_norm=(True, False), eps=(0.0, 1e-8)),
            *grid(pool=('max', 'avg'), node_size=(2,), detach_norm=(True, False)),
            *grid(pool=(None,), connection_radius=(1,), detach_norm=(True, False)),
        ],
        ids=str,
    )
    def test_zero_vectors_give_finite_values_and_no_gradient(self, case):
        student, teacher = draw((2, 3, 6, 6), (2, 4, 6, 6))
        student[0, :, :2, :2] = 0
        student[1] = 0
        teacher[0, :, 3, 3] = 0
        loss, gradient = value_and_gradient(pair_wise_loss, student, teacher, **case)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert not gradient[1].any()
        assert not gradient[0, :, :2, :2].any()
        assert gradient.abs().max() < 10

    # direct and Gram form

    @pytest.mark.parametrize('height, width, student_channels, teacher_channels', [(20, 17, 16, 24), (32, 32, 64, 48)])
    def test_gram_equals_direct_on_larger_maps(self, height, width, student_channels, teacher_channels):
        student, teacher = draw((2, student_channels, height, width), (2, teacher_channels, height, width))
        direct = value_and_gradient(pair_wise_loss, student, teacher, pool=None, method='direct')
        gram = value_and_gradient(pair_wise_loss, student, teacher, pool=None, method='gram')
        for a, e in zip(gram, direct, strict=True):
            assert_same(a, e, 1e-5)

    def test_gram_stays_close_where_student_and_teacher_almost_agree(self):
        (teacher,) = draw((1, 64, 32, 32))
        student = teacher + 0.01 * draw(teacher.shape, seed=1)[0]
        exact = value_and_gradient(pair_wise_loss, student.double(), teacher.double(), pool=None, method='direct')
        loss, gradient = value_and_gradient(pair_wise_loss, student, teacher, pool=None, method='gram')
        torch.testing.assert_close(loss.double(), exact[0], rtol=0.01, atol=0)
        assert_same(gradient.double(), exact[1], 1e-3)

    def test_gram_is_never_negative_and_keeps_its_gradient(self):
        values = []
        for seed in range(20):
            (teacher,) = draw((1, 8, 8, 8), seed=seed)
            teacher = teacher.abs()
            student = teacher * (1 + 1e-6 * draw(teacher.shape, seed=seed + 100)[0])
            loss, gradient = value_and_gradient(pair_wise_loss, student, teacher, pool=None, method='gram')
            values.append(loss.item())
            assert gradient.any()
        assert min(values) == 0.0  # rounding made at least one of them negative

    @pytest.mark.parametrize(
        'height, width, channels, expected',
        [
            (8, 8, (2, 2), 'direct'),
            (17, 17, (16, 16), 'gram'),
            (17, 17, (512, 512), 'direct'),
            (32, 32, (128, 256), 'gram'),
        ],
    )
    def test_auto_chooses_by_size(self, height, width, channels, expected, monkeypatch):
        called = []
        for name in ('direct', 'gram'):
            original = getattr(pair_wise, f'_{name}_difference')
            monkeypatch.setattr(
                pair_wise,
                f'_{name}_difference',
                lambda *args, name=name, original=original: called.append(name) or original(*args),
            )
        student, teacher = draw((1, channels[0], height, width), (1, channels[1], height, width))
        pair_wise_loss(student, teacher, pool=None)
        assert called == [expected]

    def test_no_tensor_of_the_size_of_the_affinity_is_made_for_a_large_map(self):
        """Full resolution of 64 x 64: the affinity of one image would have 16.8 million numbers."""
        largest = 0

        class Watch(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                nonlocal largest
                out = function(*args, **(kwargs or {}))
                if isinstance(out, torch.Tensor):
                    largest = max(largest, out.numel())
                return out

        student, teacher = draw((1, 8, 64, 64), (1, 16, 64, 64))
        with Watch():
            value_and_gradient(pair_wise_loss, student, teacher, pool=None)
            value_and_gradient(pair_wise_loss, student, teacher, pool=None, connection_radius=2)
        assert 0 < largest <= 16 * 64 * 64

    # nodes and range

    def test_defaults_are_those_of_the_released_code(self):
        student, teacher = draw((2, 4, 65, 33), (2, 4, 65, 33))
        pooled = [torch.nn.functional.max_pool2d(x, (32, 16), (32, 16), ceil_mode=True) for x in (student, teacher)]
        assert pooled[0].shape[2:] == (3, 3)
        torch.testing.assert_close(pair_wise_loss(student, teacher), pair_wise_loss(*pooled, pool=None))

    def test_nodes_join_maps_of_unequal_sizes(self):
        student, teacher = draw((2, 3, 8, 6), (2, 5, 4, 3))
        pooled = torch.nn.functional.adaptive_avg_pool2d(student, (4, 3))
        loss = pair_wise_loss(student, teacher, pool='avg', nodes=(4, 3))
        torch.testing.assert_close(loss, pair_wise_loss(pooled, teacher, pool=None))

    def test_range_over_the_whole_map_is_the_full_loss(self):
        student, teacher = draw((2, 3, 5, 7), (2, 4, 5, 7))
        expected = value_and_gradient(pair_wise_loss, student, teacher, pool=None)
        actual = value_and_gradient(pair_wise_loss, student, teacher, pool=None, connection_radius=6)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e, 1e-5)
