"""Times the two forms of the pair-wise loss, forward and backward, and prints a Markdown table.

Example:
    python tools/benchmark/pair_wise.py --threads 1 --repeats 5
"""

from functools import partial

import torch
from timing import machine, parser_of, shortest_times

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
    parser = parser_of(__doc__)
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--max-positions', type=int, default=8192, help='leaves out larger maps')
    return parser.parse_args()


def step(method, student, teacher):
    """One forward and backward pass: the loss and the student's gradient."""
    student = student.clone().requires_grad_()
    loss = pair_wise_loss(student, teacher, pool=None, method=method)
    loss.backward()
    return loss.detach(), student.grad


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f'{machine(args)}, batch size {args.batch_size}, shortest of {args.repeats}\n')
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
        steps = {method: partial(step, method, student, teacher) for method in ('direct', 'gram')}
        times = shortest_times(steps, args.repeats, args.device)
        print(
            f'| {height} x {width} | {student_channels}, {teacher_channels} | {times["direct"]:.4f} | '
            f'{times["gram"]:.4f} | {times["direct"] / times["gram"]:.2f} | '
            f'{2 * args.batch_size * positions**2 * 4 / 2**20:.0f} | {chosen} |',
            flush=True,
        )


if __name__ == '__main__':
    main()
