# As pspnet_r18_from_r101_camvid_pi.py; pixels near a border between classes of the label count five times.
_base_ = './pspnet_r18_from_r101_camvid_pi.py'

model = dict(distill=dict(pi=dict(loss=dict(boundary_weight=5.0, boundary_width=1, boundary_of='label'))))
