# Standardised logits: the student need not have the range of the teacher's (Sun et al. 2024).
logit_standardization = dict(
    # temperature and weight of the paper, which are for classification
    decode_head=dict(
        taps='decode_head.conv_seg',
        loss=dict(
            type='mmkd.LogitStandardized', loss=dict(type='mmkd.PixelWiseLoss'), temperature=2.0, loss_weight=9.0
        ),
    ),
)
