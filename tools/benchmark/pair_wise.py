"""Times the two forms of the pair-wise loss, forward and backward, and prints a Markdown table.

Example:
    python tools/benchmark/pair_wise.py --threads 1 --repeats 5
"""

import argparse
import math
import time

import torch

from mmkd.distillation.losses import pair_wise_loss

# height, width, channels of the student, channels of the teacher
CASES = (
    (16, 16, 128, 256),
    (32, 32, 128, 256),
    (32, 32, 256, 256),
    (48, 48, 128, 256),
    (64, 64, 128, 512),
    (64, 128, 128, 512),
    (16, 16, 512, 2048),
    (32, 32, 512, 2048),
)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=5, help='the shortest of so many runs counts')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU')
    parser.add_argument('--max-positions', type=int, default=8192, help='leaves out larger maps')
    return parser.parse_args()


def step(method, student, teacher):
    """One forward and backward pass: the loss and the student's gradient."""
    student = student.clone().requires_grad_()
    loss = pair_wise_loss(student, teacher, pool=None, method=method)
    loss.backward()
    return loss.detach(), student.grad


def shortest_times(student, teacher, repeats):
    """Seconds of a step of each form. They take turns, so that a slow spell of the machine meets both."""
    times = {'direct': math.inf, 'gram': math.inf}
    for repeat in range(repeats + 1):
        for method in times:
            start = time.perf_counter()
            step(method, student, teacher)
            if student.is_cuda:
                torch.cuda.synchronize()
            if repeat:  # the first one warms up
                times[method] = min(times[method], time.perf_counter() - start)
    return times


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    where = (
        torch.cuda.get_device_name(args.device) if args.device.startswith('cuda') else f'CPU, threads {args.threads}'
    )
    print(f'torch {torch.__version__}, {where}, batch size {args.batch_size}, shortest of {args.repeats}\n')
    print('| H x W | C student, teacher | direct (s) | Gram (s) | direct / Gram | n x n matrices (MiB) | automatic |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for height, width, student_channels, teacher_channels in CASES:
        positions = height * width
        if positions > args.max_positions:
            continue
        student = torch.randn(args.batch_size, student_channels, height, width, device=args.device)
        teacher = torch.randn(args.batch_size, teacher_channels, height, width, device=args.device)
        (direct_loss, direct_grad), (gram_loss, gram_grad) = (step(m, student, teacher) for m in ('direct', 'gram'))
        torch.testing.assert_close(gram_loss, direct_loss, rtol=1e-5, atol=0)
        torch.testing.assert_close(gram_grad, direct_grad, rtol=1e-4, atol=1e-5 * direct_grad.abs().max().item())
        chosen = 'Gram' if torch.equal(step('auto', student, teacher)[1], gram_grad) else 'direct'
        times = shortest_times(student, teacher, args.repeats)
        print(
            f'| {height} x {width} | {student_channels}, {teacher_channels} | {times["direct"]:.4f} | '
            f'{times["gram"]:.4f} | {times["direct"] / times["gram"]:.2f} | '
            f'{2 * args.batch_size * positions**2 * 4 / 2**20:.0f} | {chosen} |',
            flush=True,
        )


if __name__ == '__main__':
    main()
