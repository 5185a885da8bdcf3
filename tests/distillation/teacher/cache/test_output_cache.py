"""What is read from the cache is what the teacher gives."""

import pytest
import torch
from helpers.distillation_toys import STUDENT, TEACHER, batch, build, mse, toy, two_losses
from mmengine.structures import BaseDataElement

LOG = 'mmkd.distillation.teacher.cache.output_cache.print_log'


def cached(folder, distill=None, teacher=TEACHER, cache=None, **options):
    algorithm = build(distill, teacher=dict(teacher, cache=dict(dir=str(folder), **(cache or {}))), **options)
    algorithm.teacher.runs = 0
    algorithm.prepare()

    def count(*args):
        algorithm.teacher.runs += 1

    algorithm.teacher.model.backbone.register_forward_hook(count)
    return algorithm


def live(distill=None):
    algorithm = build(distill)
    algorithm.prepare()  # before random numbers are drawn, from which the weights of this teacher are
    return algorithm


def losses_of(algorithm, images, samples=None):
    torch.manual_seed(1)
    return {name: loss.item() for name, loss in algorithm.eval().loss(images, samples).items() if 'distill' in name}


@pytest.mark.parametrize(('dtype', 'rtol'), [('float16', 2e-3), ('bfloat16', 2e-2), ('float32', 0)])
def test_cached_is_live(dtype, rtol, tmp_path):
    expected = losses_of(live(), batch())
    algorithm = cached(tmp_path, cache=dict(dtype=dtype))
    written = losses_of(algorithm, batch())
    assert algorithm.teacher.runs == 1
    assert losses_of(algorithm, batch()) == written and algorithm.teacher.runs == 1  # whoever computed them
    assert written == pytest.approx(expected, rel=rtol)


def test_another_run_reads_what_one_has_written(tmp_path):
    written = losses_of(cached(tmp_path), batch())
    other = cached(tmp_path)
    assert losses_of(other, batch()) == written and other.teacher.runs == 0


def test_a_batch_of_images_old_and_new(tmp_path):
    algorithm = cached(tmp_path, cache=dict(dtype='float32'))
    losses_of(algorithm, batch(images=3))
    mixed = torch.stack([batch(images=3)[2], batch(seed=1)[0]])
    assert losses_of(algorithm, mixed) == pytest.approx(losses_of(live(), mixed), rel=1e-5)
    assert (algorithm.teacher.cache.read, algorithm.teacher.cache.computed) == (1, 4)


def test_a_mirrored_view_is_an_image_of_its_own(tmp_path):
    """And not the mirrored map, which differs: strides and padding are not symmetric."""
    algorithm = cached(tmp_path, mse(connector='conv1x1'), cache=dict(dtype='float32'))
    losses_of(algorithm, batch())
    mirrored = batch().flip(-1)
    expected = losses_of(live(mse(connector='conv1x1')), mirrored)
    assert losses_of(algorithm, mirrored) == pytest.approx(expected, rel=1e-5) and algorithm.teacher.runs == 2
    assert losses_of(algorithm, mirrored) == pytest.approx(expected, rel=1e-5) and algorithm.teacher.runs == 2

    maps = []
    algorithm.teacher.model.neck.register_forward_hook(lambda *args: maps.append(args[-1][0]))
    for images in (batch(), mirrored):
        algorithm.teacher.run(images)
    assert torch.cosine_similarity(maps[0].flip(-1).flatten(), maps[1].flatten(), dim=0) < 0.999


@pytest.mark.parametrize(
    'changed',
    [
        dict(teacher=dict(toy(channels=7, out_channels=10), allow_random=True)),
        dict(teacher=dict(TEACHER, dtype='bfloat16')),
        dict(distill=mse(connector='conv1x1')),
        dict(cache=dict(dtype='float32')),
        dict(student=dict(STUDENT, data_preprocessor=dict(type='ImgDataPreprocessor', mean=[1.0], std=[2.0]))),
    ],
    ids=['network', 'precision', 'taps', 'dtype', 'normalisation'],
)
def test_what_would_give_something_else_has_a_cache_of_its_own(changed, tmp_path):
    losses_of(cached(tmp_path), batch())
    if 'teacher' in changed:
        changed = dict(changed, teacher=dict(changed['teacher']))
    if 'student' in changed:
        preprocessor = dict(type='ImgDataPreprocessor', mean=[3.0], std=[1.0])
        changed = dict(changed, teacher=dict(TEACHER, data_preprocessor=preprocessor))
    other = cached(tmp_path, **changed)
    losses_of(other, batch())
    assert other.teacher.runs == 1 and len(list(tmp_path.iterdir())) == 2


def test_other_weights_have_a_cache_of_their_own(tmp_path):
    losses_of(cached(tmp_path), batch())
    other = cached(tmp_path)
    other.teacher.model.backbone.conv.weight[0, 0, 0, 0] += 1e-3
    losses_of(other, batch())
    assert other.teacher.runs == 1


def test_a_head_of_several_levels_is_kept_call_by_call(tmp_path):
    algorithm = cached(tmp_path, two_losses(levels=[0, 2]))
    written = losses_of(algorithm, batch())
    assert losses_of(algorithm, batch()) == written and algorithm.teacher.runs == 1


def test_losses_that_do_not_count_read_nothing_and_are_kept_for_later(tmp_path, monkeypatch):
    from mmengine.logging import MessageHub

    term = mse(connector='conv1x1')['fpn']
    algorithm = cached(tmp_path, dict(early=dict(term, taps='backbone', end_iter=9), late=dict(term, start_iter=5)))
    hub = MessageHub.get_current_instance()
    for iteration in (0, 5):
        monkeypatch.setattr(hub, 'get_info', lambda key, *_, i=iteration: i if key == 'iter' else None)
        losses_of(algorithm, batch())
        assert algorithm.teacher.runs == 1


# ---- what cannot be kept ---------------------------------------------------------------------------------------------


def sized(*shapes):
    return [BaseDataElement(metainfo=dict(img_shape=shape)) for shape in shapes]


def test_padding_to_the_largest_of_a_batch_is_refused_unless_asked_for(tmp_path):
    samples = sized((32, 48), (32, 40))
    with pytest.raises(ValueError, match=r'teacher.cache: images of different sizes .*batch_padding=True'):
        losses_of(cached(tmp_path), batch(), samples)
    algorithm = cached(tmp_path, cache=dict(batch_padding=True))
    losses_of(algorithm, batch(), samples)
    assert losses_of(algorithm, batch(), samples) and algorithm.teacher.runs == 1


def test_what_the_pipeline_calls_the_image_matters_as_the_teacher_pads_by_it(tmp_path):
    algorithm = cached(tmp_path)
    losses_of(algorithm, batch(), sized((32, 48), (32, 48)))
    losses_of(algorithm, batch(), sized((32, 40), (32, 40)))
    assert algorithm.teacher.runs == 2


AUGMENTED = dict(type='mmdet.DetDataPreprocessor', batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=(32, 32))])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(teacher=dict(TEACHER, mode='loss')), "in mode='loss'"),
        (dict(student=dict(STUDENT, data_preprocessor=AUGMENTED)), 'batch_augments .BatchFixedSizePad. mixes'),
    ],
)
def test_what_depends_on_more_than_the_image_is_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=f'teacher.cache: the outputs cannot be kept, .*{message}'):
        cached(tmp_path, **options)


def test_numbers_too_large_for_the_precision_are_refused(tmp_path):
    algorithm = cached(tmp_path, cache=dict(dtype='float16'))
    algorithm.teacher.model.neck.convs[0].bias[:] = 1e6
    with pytest.raises(ValueError, match="cache.dtype: tap 'neck' has numbers as large as 1e.06, which float16"):
        losses_of(algorithm, batch())


@pytest.mark.parametrize(
    ('cache', 'message'),
    [
        (dict(views=2), 'teacher.cache: a dict of dir, .* was expected, with dir'),
        (dict(dir='x', view=2), 'teacher.cache: a dict of dir, .* was expected'),
        ('folder', 'teacher.cache: a dict of dir'),
        (dict(dir=''), 'teacher.cache.dir: the path of a folder'),
        (dict(dir='x', views=0), 'teacher.cache.views: a number of at least 1 was expected, got 0'),
        (dict(dir='x', dtype='int8'), "teacher.cache.dtype: one of .* was expected, got 'int8'"),
    ],
)
def test_wrong_options_are_named(cache, message):
    with pytest.raises(ValueError, match=message):
        build(teacher=dict(TEACHER, cache=cache))


# ---- space -----------------------------------------------------------------------------------------------------------


def test_space_and_time_are_told_with_the_first_batch(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(LOG, lambda message, **kwargs: said.append(message))
    algorithm = cached(tmp_path, cache=dict(views=3))
    algorithm.teacher.cache.images = 1000
    losses_of(algorithm, batch())
    size = sum(path.stat().st_size for path in tmp_path.rglob('*.safetensors')) / 2
    assert (
        f'{size / 1e6:.2f} MB for a view of an image, {3000 * size / 1e9:.2f} GB for 1000 images in 3 views' in said[-1]
    )
    assert 'from epoch 4 on the teacher does not run' in said[-1]


def test_more_space_than_allowed_is_refused_before_the_first_step(tmp_path):
    algorithm = cached(tmp_path, cache=dict(max_gb=0.001))
    algorithm.teacher.cache.images = 1000
    with pytest.raises(ValueError, match='teacher.cache: more than teacher.cache.max_gb. .* GB for 1000 images'):
        losses_of(algorithm, batch())


def test_images_that_never_come_again_are_pointed_out_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(LOG, lambda message, **kwargs: said.append(message))
    algorithm = cached(tmp_path)
    algorithm.teacher.cache.images = 4
    for seed in range(5):
        losses_of(algorithm, batch(seed=seed))
    assert sum('there are still new ones' in message for message in said) == 1
