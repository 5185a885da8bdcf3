# What every detection config shares.
_base_ = './default_runtime.py'

default_scope = 'mmdet'
default_hooks = dict(checkpoint=dict(interval=10000), visualization=dict(type='DetVisualizationHook'))
visualizer = dict(type='DetLocalVisualizer')
