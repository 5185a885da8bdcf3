"""What the benchmarks share: options, the line that says where they ran, and times of functions that take turns."""

import argparse
import math
import time

import torch


def parser_of(doc, repeats=5):
    """A parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--repeats', type=int, default=repeats, help='the shortest of so many runs counts')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU')
    return parser


def machine(args):
    """Versions and device, as the first line of a page says them."""
    device = torch.cuda.get_device_name(args.device) if on_gpu(args.device) else f'CPU, threads {args.threads}'
    return f'torch {torch.__version__}, {device}'


def on_gpu(device):
    return device.startswith('cuda')


def shortest_times(functions, repeats, device):
    """Seconds of each. They take turns, so that a slow spell of the machine meets all."""
    times = dict.fromkeys(functions, math.inf)
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if on_gpu(device):
                torch.cuda.synchronize()
            if repeat:  # the first one warms up
                times[name] = min(times[name], time.perf_counter() - start)
    return times
