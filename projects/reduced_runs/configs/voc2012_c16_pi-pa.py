# As configs/kd/deeplabv3plus_kd/*_pi-pa.py, reduced and with a small teacher.
_base_ = ['./voc2012_c16_pixel.py', 'mmkd::_base_/kd/attention_transfer.py', 'mmkd::_base_/kd/pair_wise.py']

# 600 and 6 are the 100 and 1 of the full recipe, whose cross-entropy has the weight 1/6
pi, pa = _base_.attention_transfer.deeplabv3plus, _base_.pair_wise.deeplabv3plus
model = dict(
    distill=dict(
        _delete_=True,
        pi=dict(pi, loss=dict(pi.loss, loss_weight=600.0)),
        pa=dict(pa, loss=dict(pa.loss, loss_weight=6.0)),
    )
)
