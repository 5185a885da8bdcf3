"""Converts the instances of VOC 2012 and SBD to COCO's format, as ``mmkd voc_sbd_to_coco`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('voc_sbd_to_coco')
