# Pair-wise: how alike any two places of the features are (Liu et al. 2019). Only similarities are compared, so that no
# connector is needed. A config takes the entry of its student: distill=dict(pa={{_base_.pair_wise.pspnet}}).
pair_wise = dict(
    # The features after the pyramid and its dropout; nodes of half the map and the weight 0.5, as in the released code
    # and its run script.
    pspnet=dict(taps='decode_head.dropout', loss=dict(type='mmkd.PairWiseLoss', loss_weight=0.5)),
    # 3 x 3 nodes, as the released code has of 65 x 65 places, also of the 64 x 64 of MobileNetV2
    pspnet_mobilenetv2=dict(taps='decode_head.dropout', loss=dict(type='mmkd.PairWiseLoss', nodes=3, loss_weight=0.5)),
    # encoder and pyramid; nodes of 2 x 2 places and the weight 10, the best row of the paper
    espnet=dict(
        taps=dict(student='backbone.b3', teacher='decode_head.dropout'),
        loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=10.0),
    ),
    # the encoder's last map before its ReLU; the 1 of DeepLabV3+-KD
    deeplabv3plus=dict(taps='decode_head.bottleneck.bn', loss=dict(type='mmkd.PairWiseLoss', loss_weight=1.0)),
    # All five levels of the pyramid, with every place a node: 16,800 on the first level, where the Gram form needs
    # matrices of channels only. 10 is the paper's for segmentation.
    fcos=dict(taps='neck', loss=dict(type='mmkd.PairWiseLoss', pool=None, loss_weight=10.0)),
    # all five levels of the pyramid, nodes of half the map; nobody has published a weight
    centermask=dict(taps='neck', loss=dict(type='mmkd.PairWiseLoss', loss_weight=1.0)),
    # the last map of the pyramid; as for segmentation the best row of the paper
    vnl=dict(
        taps='decode_head.refines.0',
        loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=10.0),
    ),
    # the map the student's head works on, and that of the teacher's last stack; nobody has published a weight
    point_centermask=dict(
        taps=dict(student='neck', teacher='backbone'),
        levels=dict(student=(0,), teacher=(1,)),
        loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=4, loss_weight=1.0),
    ),
)
