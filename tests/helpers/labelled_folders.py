"""Small folders of images with their labels, one in each format that ``mmkd new`` reads."""

import json
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image

CLASSES = ('disc', 'square')
SIZE = (96, 64)  # width, height


def shapes(number):
    """The objects of an image: class, corners of its polygon. Two discs and a square that never touch."""
    rng = np.random.default_rng(number)
    found = []
    for slot, name in enumerate(('disc', 'square', 'disc')):
        cx, cy, r = 16 + 32 * slot + rng.integers(-2, 3), 32 + rng.integers(-12, 13), rng.integers(7, 12)
        angles = np.arange(0, 2 * np.pi, np.pi / 8) if name == 'disc' else np.arange(np.pi / 4, 2 * np.pi, np.pi / 2)
        corners = np.stack([cx + r * np.cos(angles), cy + r * np.sin(angles)], 1).round()
        found.append((name, corners.astype(int)))
    return found


def draw_image(number, path):
    """Writes an image: bright objects on noise."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 80, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    image[:, : 10 + 8 * number % 90, 1] += 60  # no two thumbnails alike
    for name, corners in shapes(number):
        cv2.fillPoly(image, [corners], (230, 90, 60) if name == 'disc' else (60, 120, 230))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def box(corners):
    return [*corners.min(0).tolist(), *corners.max(0).tolist()]


def labelme(root, number=10):
    """A JSON beside each image."""
    for i in range(number):
        draw_image(i, root / f'{i}.png')
        entries = [
            dict(label=name, points=corners.tolist(), shape_type='polygon', group_id=None)
            for name, corners in shapes(i)
        ]
        content = dict(shapes=entries, imagePath=f'..\\photos\\{i}.png', imageWidth=SIZE[0], imageHeight=SIZE[1])
        (root / f'{i}.json').write_text(json.dumps(content))


def yolo(root, number=10, polygons=True):
    """data.yaml, images/{train,val}, labels/{train,val}; the last two images validate."""
    (root / 'labels').mkdir(parents=True)
    names = dict(enumerate(CLASSES))
    (root / 'data.yaml').write_text(yaml.safe_dump(dict(path='.', train='images/train', val='images/val', names=names)))
    for i in range(number):
        split = 'val' if i >= number - 2 else 'train'
        draw_image(i, root / f'images/{split}/{i}.jpg')
        lines = []
        for name, corners in shapes(i):
            x1, y1, x2, y2 = box(corners)
            values = corners.ravel() if polygons else [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
            parts = [f'{value / SIZE[k % 2]:.6f}' for k, value in enumerate(values)]
            lines.append(f'{CLASSES.index(name)} {" ".join(parts)}')
        (root / f'labels/{split}').mkdir(exist_ok=True)
        (root / f'labels/{split}/{i}.txt').write_text('\n'.join(lines) + '\n')


def voc(root, number=10):
    """Annotations, JPEGImages, ImageSets: boxes, whose numbers begin at 1."""
    for part in ('Annotations', 'ImageSets/Main'):
        (root / part).mkdir(parents=True)
    for i in range(number):
        draw_image(i, root / f'JPEGImages/{i}.jpg')
        objects = ''
        for name, corners in shapes(i):
            x1, y1, x2, y2 = box(corners)
            bounds = f'<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>'
            objects += f'<object><name>{name}</name><bndbox>{bounds}</bndbox></object>'
        size = f'<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>'
        text = f'<annotation><filename>{i}.jpg</filename>{size}{objects}</annotation>'
        (root / f'Annotations/{i}.xml').write_text(text)
    for split, numbers in dict(train=range(number - 2), val=range(number - 2, number)).items():
        (root / f'ImageSets/Main/{split}.txt').write_text(''.join(f'{i}\n' for i in numbers))


def coco(root, number=10):
    """train/ and valid/, each with its JSON."""
    for split, numbers in dict(train=range(number - 2), valid=range(number - 2, number)).items():
        images, annotations = [], []
        for i in numbers:
            draw_image(i, root / split / f'{i}.jpg')
            images.append(dict(id=i, file_name=f'{i}.jpg', width=SIZE[0], height=SIZE[1]))
            for name, corners in shapes(i):
                x1, y1, x2, y2 = box(corners)
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=i,
                        category_id=7 + CLASSES.index(name),
                        bbox=[x1, y1, x2 - x1, y2 - y1],
                        area=float((x2 - x1) * (y2 - y1)),
                        iscrowd=0,
                        segmentation=[corners.ravel().tolist()],
                    )
                )
        categories = [dict(id=7 + k, name=name) for k, name in enumerate(CLASSES)]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / split / '_annotations.coco.json').write_text(json.dumps(content))


def masks(root, number=10, instances=False):
    """images/ and masks/ or instances/; 0 is the background, 255 ignored at one corner."""
    for i in range(number):
        draw_image(i, root / f'images/{i}.jpg')
        values = np.zeros(SIZE[::-1], np.uint8)
        for k, (name, corners) in enumerate(shapes(i), 1):
            cv2.fillPoly(values, [corners], k if instances else 1 + CLASSES.index(name))
        if not instances:
            values[:2, :2] = 255
        path = root / ('instances' if instances else 'masks') / f'{i}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path)
    if not instances:
        (root / 'classes.txt').write_text('ground\ndisc\nsquare\n')


FORMATS = dict(labelme=labelme, yolo=yolo, voc=voc, coco=coco, masks=masks)


def files_of(root: Path) -> dict:
    """Every file below a folder with what is in it, to see that nothing was changed."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}
