"""The formula of the golden weights gives the inputs that the originals were run on."""

import pytest

from helpers.golden import (
    GOLDENS,
    assert_matches_summary,
    golden_arrays,
    golden_image,
    golden_keys,
    golden_models,
    golden_summary,
)


@pytest.mark.parametrize('size', ['even', 'odd'])
def test_image_formula_gives_the_input_of_the_golden_backbones(size):
    shape = {'even': (1, 3, 96, 128), 'odd': (1, 3, 75, 101)}[size]
    summary = golden_summary(golden_arrays('centermask2/A_backbone_V-19-eSE'), f'{size}_input')
    assert_matches_summary(golden_image(f'A_{size}', shape), summary)


def test_image_formula_gives_the_input_of_the_golden_heads():
    summary = golden_summary(golden_arrays('centermask2/B_fpn_fcos_lite-V-19-slim-dw-eSE'), 'input')
    assert_matches_summary(golden_image('B', (2, 3, 128, 160)), summary)


def test_key_lists_have_the_published_number_of_tensors():
    counts = {model: len(golden_keys(model)) for model in golden_models()}
    assert counts['centermask2-V-39-eSE'] == 293
    assert counts['centermask2-V-99-eSE-dcn'] == 763
    assert counts['centermask2-lite-V-19-slim-dw-eSE'] == 194
    assert len(counts) == 13


def test_goldens_stay_small():
    assert sum(path.stat().st_size for path in GOLDENS.rglob('*')) < 4_000_000
