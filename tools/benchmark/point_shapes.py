"""Local shapes of CenterMask with points: made at the objects, or read from a map of the image; prints a table.

Both ways have to give the same losses and gradients, or the command fails. Each way runs in a process of its own, whose
largest memory, over that before the first step, is given.

Example:
    python tools/benchmark/point_shapes.py --threads 1 --repeats 3
    python tools/benchmark/point_shapes.py --device cuda --repeats 20
"""

import resource
import sys
import time
from multiprocessing import get_context

import numpy as np
import torch
from timing import machine, on_gpu, parser_of

import mmkd  # noqa: F401  first: makes mmkd:: configs resolve

# images, objects an image; maps are 128 x 128, of an input of 512 x 512
CASES = ((1, 7), (4, 7), (4, 30), (8, 7))
MAP = 128
STRIDE = 4
CLASSES = 80
CHANNELS = 64
WAYS = ('map', 'objects')


def parse_args():
    parser = parser_of(__doc__, repeats=3)
    parser.add_argument('--max-images', type=int, default=8, help='leaves out larger batches')
    return parser.parse_args()


def make_case(images, objects, device):
    """A head, its input, and a batch of data samples; the same each time."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    from mmkd.registry import MODELS

    torch.manual_seed(0)
    head = MODELS.build(dict(type='mmkd.PointCenterMaskHead', num_classes=CLASSES, in_channels=CHANNELS)).to(device)
    samples = []
    size = MAP * STRIDE
    for _ in range(images):
        corners = torch.randint(0, size - 100, (objects, 2))
        boxes = torch.cat([corners, corners + torch.randint(16, 100, (objects, 2))], 1)
        masks = np.zeros((objects, size, size), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        sample = DetDataSample(metainfo=dict(img_shape=(size, size)))
        sample.gt_instances = InstanceData(
            bboxes=boxes.float().to(device),
            labels=torch.randint(CLASSES, (objects,)).to(device),
            masks=BitmapMasks(masks, size, size),
        )
        samples.append(sample)
    return head, torch.randn(images, CHANNELS, MAP, MAP, device=device), samples


def step(way, head, x, samples):
    """One forward and backward pass: the losses, and the gradient of the input."""
    x = x.clone().requires_grad_()
    head.zero_grad()
    if way == 'objects':
        losses = head.loss([x], samples)
    else:
        losses = head.loss_by_feat(head.forward_all([x]), [sample.gt_instances for sample in samples])
    sum(losses.values()).backward()
    return {name: value.detach().cpu() for name, value in losses.items()}, x.grad.cpu()


def memory(device) -> float:
    """The largest so far, in MiB."""
    if on_gpu(device):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == 'darwin' else 2**10)


def clock(device) -> float:
    """Processor time, which other work on the machine does not lengthen much; on a GPU, time."""
    if on_gpu(device):
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def measure(way, images, objects, device, repeats, threads):
    """Losses, gradient, shortest seconds of a step, and MiB."""
    torch.set_num_threads(threads)
    case = make_case(images, objects, device)
    before = memory(device)
    losses, gradient = step(way, *case)  # warms up
    seconds = []
    for _ in range(repeats):
        start = clock(device)
        step(way, *case)
        seconds.append(clock(device) - start)
    return {name: float(loss) for name, loss in losses.items()}, gradient.numpy(), min(seconds), memory(device) - before


def main():
    args = parse_args()
    print(f'{machine(args)}, shortest of {args.repeats}\n')
    print('| images | objects an image | map (s) | objects (s) | map / objects | map (MiB) | objects (MiB) |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for images, objects in CASES:
        if images > args.max_images:
            continue
        found = {}
        for way in WAYS:
            with get_context('spawn').Pool(1) as pool:
                found[way] = pool.apply(measure, (way, images, objects, args.device, args.repeats, args.threads))
        (losses, gradient, slow, much), (our_losses, our_gradient, fast, little) = (found[way] for way in WAYS)
        for name, loss in losses.items():
            np.testing.assert_allclose(our_losses[name], loss, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(our_gradient, gradient, rtol=1e-3, atol=1e-5 * np.abs(gradient).max())
        print(
            f'| {images} | {objects} | {slow:.2f} | {fast:.2f} | {slow / fast:.2f} | {much:.0f} | {little:.0f} |',
            flush=True,
        )


if __name__ == '__main__':
    main()
