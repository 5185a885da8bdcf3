# Pixel-wise: at every place the student's class distribution follows the teacher's. A config takes the entry of its
# student: distill=dict(pi={{_base_.pixel_wise.pspnet}}).
pixel_wise = dict(
    # Structured KD (Liu et al. 2019). 80: the released code has 10 on a loss that it does not divide by its 8 images.
    # The maps of MobileNetV2 have 64 x 64 places where the teacher's have 65 x 65; where sizes agree, align does nothing.
    pspnet=dict(
        taps='decode_head.conv_seg',
        loss=dict(type='mmkd.PixelWiseLoss', loss_weight=80.0, align='student', align_corners=True),
    ),
    # 10: the weight that the paper gives to PI and PA. ESPNet decides at the full size, so the teacher's map is enlarged.
    espnet=dict(
        taps='decode_head.conv_seg',
        loss=dict(type='mmkd.PixelWiseLoss', loss_weight=10.0, align='student', align_corners=True),
    ),
    # Dense detection heads: a binary decision for each class at every place of all levels, as the focal loss trains them.
    # 1: PI and PA then begin alike, as in what the authors of structured KD told (0.336 and 0.029, with PA 10 times).
    dense_head=dict(
        taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)
    ),
    # CenterMask_KD: a softmax over the classes, though the head is trained with a sigmoid, summed over the five levels.
    # mode='ce' is its other row: another number in the log, the same gradient.
    centermask_kd=dict(
        taps='bbox_head.conv_cls',
        reduce='sum',
        loss=dict(type='mmkd.PixelWiseLoss', mode='kl', activation='softmax', loss_weight=1.0),
    ),
    # CenterMask with points: three of its branches. The shape has 1024 binary decisions at each cell: their mean.
    heatmap=dict(
        taps='bbox_head.heatmap_head', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)
    ),
    shape=dict(
        taps='bbox_head.shape_head',
        loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', reduction='class_mean', loss_weight=1.0),
    ),
    saliency=dict(
        taps='bbox_head.saliency_head', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)
    ),
    # GFL gives the class scores and the edge distributions of all levels in one call of its head.
    gfl=dict(
        taps=dict(source='bbox_head', data_idx=0),
        loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0),
    ),
)
