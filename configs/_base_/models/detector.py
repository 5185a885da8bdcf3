# What all detectors share: how images are prepared, as detectron2 does. Theirs are BGR less the mean of ImageNet; sides
# are multiples of the coarsest stride.
model = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_size_divisor=32,
    )
)
