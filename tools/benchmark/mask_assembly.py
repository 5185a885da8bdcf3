"""Times the assembly of point masks against a loop over the objects, and whole detectors; prints Markdown tables.

Both ways of assembling have to give the same loss and gradients, or the command fails.

Example:
    python tools/benchmark/mask_assembly.py --threads 1 --repeats 5
    python tools/benchmark/mask_assembly.py --device cuda --repeats 20 --detectors
"""

import torch
import torch.nn.functional as F
from timing import machine, parser_of, shortest_times

import mmkd  # noqa: F401  first: makes mmkd:: configs resolve

# images, objects an image, smallest and largest side of an object in cells; maps are 128 x 128
CASES = ((4, 7, 2, 64), (4, 30, 2, 32), (4, 128, 2, 16), (16, 7, 2, 64), (16, 30, 2, 32), (1, 100, 2, 128))
MAP = 128
SHAPE = 32
POINTS = 'mmkd::point_centermask/point-centermask'
DETECTORS = (
    ('CenterMask with points, DLA-34', f'{POINTS}_dla34_130e_coco.py', {}),
    ('... neck with ordinary convolution', f'{POINTS}_dla34_130e_coco.py', {'model.neck.conv_cfg': None}),
    ('CenterMask with points, Hourglass-104', f'{POINTS}_hourglass104_130e_coco.py', {}),
    ('SOLOv2-light, R-18', 'mmdet::solov2/solov2-light_r18_fpn_ms-3x_coco.py', {'model.test_cfg.filter_thr': 0.0}),
    ('SOLOv2-light, R-50', 'mmdet::solov2/solov2-light_r50_fpn_ms-3x_coco.py', {'model.test_cfg.filter_thr': 0.0}),
    ('CondInst, R-50', 'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py', {}),
)
OBJECTS = 100  # in an image, for whole detectors


def parse_args():
    parser = parser_of(__doc__)
    parser.add_argument('--max-objects', type=int, default=1000, help='leaves out cases with more objects')
    parser.add_argument('--detectors', action='store_true', help='times whole detectors as well')
    parser.add_argument('--size', type=int, nargs=2, default=(512, 512), help='height and width for the detectors')
    return parser.parse_args()


def make_case(images, objects, smallest, largest, device):
    """Boxes of whole cells, some of which reach beyond the map."""
    number = images * objects
    sides = torch.randint(smallest, largest + 1, (number, 2))
    centers = torch.randint(0, MAP, (number, 2))
    boxes = torch.cat([centers - sides // 2, centers - sides // 2 + sides], 1).float().to(device)
    image = torch.arange(images, device=device).repeat_interleave(objects)
    shapes = torch.randn(number, SHAPE, SHAPE, device=device)
    saliency = torch.randn(images, MAP, MAP, device=device)
    targets = torch.rand(number, MAP, MAP, device=device)
    return boxes, image, shapes, saliency, targets


def assembled_loss(boxes, image, shapes, saliency, targets):
    from mmkd.models.dense_heads.mask_assembly import assemble_logits, cells_of_boxes
    from mmkd.models.losses import ProductMaskLoss

    cells = cells_of_boxes(boxes, MAP, MAP)
    local, glob = assemble_logits(shapes, saliency, boxes, image, cells)
    target = targets[cells.box, cells.row, cells.column]
    return ProductMaskLoss()(local, glob, target, cells.box, cells.count)


def loop_loss(boxes, image, shapes, saliency, targets):
    """Resize, cut out and multiply, one object after the other; with the same loss of logits."""
    from mmkd.models.losses import product_bce

    losses = []
    for (x1, y1, x2, y2), i, shape, target in zip(boxes.long().tolist(), image.tolist(), shapes, targets, strict=True):
        local = F.interpolate(shape[None, None], (y2 - y1, x2 - x1), mode='bilinear', align_corners=False)[0, 0]
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, MAP), min(y2, MAP)
        local = local[top - y1 : bottom - y1, left - x1 : right - x1]
        region = (slice(top, bottom), slice(left, right))
        losses.append(product_bce(local, saliency[i][region], target[region]).mean())
    return torch.stack(losses).mean()


def step(function, boxes, image, shapes, saliency, targets):
    """One forward and backward pass: the loss and its gradients."""
    shapes, saliency = shapes.clone().requires_grad_(), saliency.clone().requires_grad_()
    loss = function(boxes, image, shapes, saliency, targets)
    return loss.detach(), *torch.autograd.grad(loss, (shapes, saliency))


def compare_assembly(args):
    print('| images | objects an image | side (cells) | loop (ms) | assembled (ms) | loop / assembled |')
    print('| --- | --- | --- | --- | --- | --- |')
    for images, objects, smallest, largest in CASES:
        if images * objects > args.max_objects:
            continue
        case = make_case(images, objects, smallest, largest, args.device)
        for ours, theirs in zip(step(assembled_loss, *case), step(loop_loss, *case), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)
        functions = {'loop': loop_loss, 'assembled': assembled_loss}
        functions = {name: lambda f=f, c=case: step(f, *c) for name, f in functions.items()}
        times = shortest_times(functions, args.repeats, args.device)
        print(
            f'| {images} | {objects} | {smallest} to {largest} | {times["loop"] * 1e3:.1f} | '
            f'{times["assembled"] * 1e3:.1f} | {times["loop"] / times["assembled"]:.1f} |',
            flush=True,
        )


def build_detector(config, options, inputs):
    """The detector with random weights, and a threshold on scores that lets it find 100 objects."""
    from mmengine.config import Config

    from mmkd.apis.config import resolve_config
    from mmkd.registry import MODELS

    cfg = Config.fromfile(resolve_config(config))
    cfg.merge_from_dict({**options, 'model.test_cfg.score_thr': 0.0})
    cfg.model.backbone.pop('init_cfg', None)
    network = MODELS.build(cfg.model)
    network.init_weights()
    network = network.to(inputs.device).eval()
    if 'solo' in config:  # has no cap on candidates before their masks are made; the others take the best
        network.mask_head.test_cfg.score_thr = threshold_of_solo(network, inputs)
    return network


@torch.no_grad()
def threshold_of_solo(network, inputs):
    """The score that 100 of the cells have that are the largest of their surroundings."""
    scores = []
    for level in network.mask_head(network.extract_feat(inputs))[1]:
        level = level.sigmoid()
        largest = F.max_pool2d(level, 2, stride=1, padding=1)[..., :-1, :-1] == level
        scores.append((level * largest).flatten())
    return torch.cat(scores).topk(OBJECTS + 1)[0][-1].item()


def compare_detectors(args):
    from mmdet.structures import DetDataSample
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')  # or every parameter's initialisation is between the tables
    height, width = args.size
    inputs = torch.randn(1, 3, height, width, device=args.device)
    size = (height, width)
    meta = dict(img_shape=size, ori_shape=size, batch_input_shape=size, pad_shape=size, scale_factor=(1.0, 1.0))
    print('\n| detector | parameters (M) | objects found | features (ms) | features and masks (ms) |')
    print('| --- | --- | --- | --- | --- |')
    networks = {name: build_detector(config, options, inputs) for name, config, options in DETECTORS}

    @torch.no_grad()
    def features(network):
        return network.extract_feat(inputs)

    @torch.no_grad()
    def predict(network):
        return network.predict(inputs, [DetDataSample(metainfo=meta)])[0].pred_instances

    times = []
    for function in (features, predict):
        functions = {name: lambda f=function, n=network: f(n) for name, network in networks.items()}
        times.append(shortest_times(functions, args.repeats, args.device))
    for name, network in networks.items():
        parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        row = [name, f'{parameters:.1f}', len(predict(network)), *(f'{seconds[name] * 1e3:.0f}' for seconds in times)]
        print('| ' + ' | '.join(map(str, row)) + ' |', flush=True)


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f'{machine(args)}, shortest of {args.repeats}; forward and backward\n')
    compare_assembly(args)
    if args.detectors:
        compare_detectors(args)


if __name__ == '__main__':
    main()
