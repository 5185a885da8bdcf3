# As configs/kd/deeplabv3plus_kd/*_overhaul.py, reduced and with a small teacher, of which the two maps of the head are
# taught: MobileNetV2's layers end without a ReLU and hence without a margin.
_base_ = ['./voc2012_c16_pixel.py', 'mmkd::_base_/kd/overhaul.py']

overhaul = _base_.overhaul.mobilenetv2
loss = dict(type='mmkd.OverhaulLoss', loss_weight=0.5)  # the mean over all entries
model = dict(
    distill=dict(_delete_=True, encoder=dict(overhaul.encoder, loss=loss), decoder=dict(overhaul.decoder, loss=loss))
)
