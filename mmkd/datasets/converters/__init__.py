"""Data sets in their original folders, to annotation files that mmdet and mmseg read."""
