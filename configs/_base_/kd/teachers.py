# The teachers, each a config and a file in the folder that MMKD_PRETRAINED names, else checkpoints/. Another one is
# --cfg-options model.teacher.cfg_path=CONFIG model.teacher.ckpt=FILE, or dict(cfg_path=..., ckpt=...) in a config.
teachers = dict(
    pspnet_r101_cityscapes=dict(
        cfg_path='mmkd::pspnet/pspnet_r101_40k_cityscapes-512x512.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/pspnet_r101_cityscapes.pth',
    ),
    pspnet_r101_camvid=dict(
        cfg_path='mmkd::pspnet/pspnet_r101_40k_camvid-480x360.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/pspnet_r101_camvid.pth',
    ),
    deeplabv3plus_r101_voc2012=dict(
        cfg_path='mmkd::deeplabv3plus/deeplabv3plus_r101_120e_voc2012-513x513.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/deeplabv3plus_r101_voc2012.pth',
    ),
    centermask_v19_coco=dict(
        cfg_path='mmkd::centermask/centermask_v19_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/centermask_v19.pth',
    ),
    centermask_v39_coco=dict(
        cfg_path='mmkd::centermask/centermask_v39_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/centermask_v39.pth',
    ),
    centermask_v19_voc=dict(
        cfg_path='mmkd::centermask/centermask_v19_fpn_10k_voc.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/centermask_v19_voc.pth',
    ),
    point_centermask_hourglass104_coco=dict(
        cfg_path='mmkd::point_centermask/point-centermask_hourglass104_130e_coco.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/point-centermask_hourglass104.pth',
    ),
    fcos_x101_coco=dict(
        cfg_path='mmkd::fcos/fcos_x101-32x8d_ms-2x_coco.py', ckpt='{{$MMKD_PRETRAINED:checkpoints}}/fcos_x101_coco.pth'
    ),
    vnl_x101_nyu=dict(
        cfg_path='mmkd::vnl/vnl_x101_60k_nyu-385x385.py', ckpt='{{$MMKD_PRETRAINED:checkpoints}}/vnl_x101_nyu.pth'
    ),
)
