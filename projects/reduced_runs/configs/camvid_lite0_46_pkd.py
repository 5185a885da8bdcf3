# An eighth of the labels, and the teacher's last features on the same images.
_base_ = 'camvid_lite0_pkd.py'

train_dataloader = dict(dataset=dict(indices=list(range(0, 367, 8))))
