# What a distillation config needs beside its student's: _base_ = ['<the student>.py', '../_base_/distill.py'].
# A config that has custom hooks of its own writes, in place of this second base,
#   default_hooks = dict(student_checkpoint=dict(type='mmkd.StudentCheckpointHook'), finite=dict(type='mmkd.FiniteLossHook'))
custom_hooks = [dict(type='mmkd.StudentCheckpointHook'), dict(type='mmkd.FiniteLossHook')]
