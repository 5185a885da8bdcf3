# The teachers, each a config and a file in the folder that MMKD_PRETRAINED names, else checkpoints/. Another one is
# --cfg-options model.teacher.cfg_path=CONFIG model.teacher.ckpt=FILE, or dict(cfg_path=..., ckpt=...) in a config.
weights_folder = '{{$MMKD_PRETRAINED:checkpoints}}'
teachers = {
    name: dict(cfg_path=f'mmkd::{config}', ckpt=f'{weights_folder}/{file}')
    for name, config, file in (
        ('centermask_v19_coco', 'centermask/centermask_v19_fpn_ms-3x_coco.py', 'centermask_v19.pth'),
        ('centermask_v19_voc', 'centermask/centermask_v19_fpn_10k_voc.py', 'centermask_v19_voc.pth'),
        ('centermask_v39_coco', 'centermask/centermask_v39_fpn_ms-3x_coco.py', 'centermask_v39.pth'),
        (
            'deeplabv3plus_r101_voc2012',
            'deeplabv3plus/deeplabv3plus_r101_120e_voc2012-513x513.py',
            'deeplabv3plus_r101_voc2012.pth',
        ),
        ('fcos_x101_coco', 'fcos/fcos_x101-32x8d_ms-2x_coco.py', 'fcos_x101_coco.pth'),
        (
            'point_centermask_hourglass104_coco',
            'point_centermask/point-centermask_hourglass104_130e_coco.py',
            'point-centermask_hourglass104.pth',
        ),
        ('pspnet_r101_camvid', 'pspnet/pspnet_r101_40k_camvid-480x360.py', 'pspnet_r101_camvid.pth'),
        ('pspnet_r101_cityscapes', 'pspnet/pspnet_r101_40k_cityscapes-512x512.py', 'pspnet_r101_cityscapes.pth'),
        ('vnl_x101_nyu', 'vnl/vnl_x101_60k_nyu-385x385.py', 'vnl_x101_nyu.pth'),
    )
}
