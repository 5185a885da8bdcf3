"""From the address of a file to the file: on this disk as it is, from elsewhere by way of a cache."""

from __future__ import annotations

import hashlib
import io
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock
from mmengine.logging import print_log
from tqdm import tqdm

__all__ = ['open_address']

TIMEOUT = 60  # seconds without a byte after which a server counts as dead
CHUNK = 2**20  # bytes
NAMED = ('torchvision', 'modelzoo', 'open-mmlab', 'openmmlab', 'mmcls')  # tables of names that mmengine brings along


def open_address(address: str | Path) -> Path | io.BytesIO:
    """The file that an address stands for.

    * A path, or ``file:///...``: that file.
    * ``http://``, ``https://``: downloaded, once, to where PyTorch keeps its downloads
      (``$TORCH_HOME/hub/checkpoints``). Several processes of a machine wait for one of them.
    * ``torchvision://resnet50``, ``open-mmlab://...``, ``mmcls://...``: the URL that mmengine knows by this name.
    * Anything else with a prefix that a file backend of mmengine is registered for (``s3://``, ``petrel://``): read by
      that, and not kept.

    ``#sha256=<hex digits>`` at the end of an address with a prefix is compared with the content, as pip does.

    Returns:
        The file, or its content where there is no file of it.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be fetched or stored. Names the address.
        ValueError: There is no way to such addresses, or the content has another checksum.
    """
    address = str(address)
    scheme = _scheme(address)
    if not scheme:
        return _existing(Path(address).expanduser(), address)
    if scheme in NAMED:
        name, separator, checksum = address.partition('#')
        return open_address(_url_of_name(name, scheme) + separator + checksum)
    address, sha256 = _without_checksum(address)
    if scheme == 'file':
        source = _existing(_path_of_file_url(address), address)
    elif scheme in ('http', 'https'):
        return _downloaded(address, sha256)
    else:
        source = io.BytesIO(_read_by_backend(address, scheme))
    _check_sha256(source, sha256, address)
    return source


def _scheme(address: str) -> str:
    """``'s3'`` of ``cluster:s3://bucket/file``, ``''`` of a path."""
    before, separator, _ = address.partition('://')
    return before.rpartition(':')[2].lower() if separator else ''


def _without_checksum(address: str) -> tuple[str, str | None]:
    plain, _, fragment = address.partition('#')
    if not fragment:
        return address, None
    match = re.fullmatch(r'sha256=([0-9a-fA-F]{64})', fragment)
    if not match:
        raise ValueError(f'{address}: after #, sha256= and 64 hex digits were expected, got {fragment!r}')
    return plain, match[1].lower()


def _existing(path: Path, address: str) -> Path:
    if not path.is_file():
        what = 'is a folder, not a file' if path.is_dir() else 'does not exist'
        raise FileNotFoundError(f'{address} {what}')
    return path


def _path_of_file_url(address: str) -> Path:
    parts = urlsplit(address)
    if parts.netloc not in ('', 'localhost'):
        raise ValueError(f'{address}: a file of this machine was expected, with three slashes: file:///folder/file.pth')
    return Path(urllib.request.url2pathname(parts.path))


def _url_of_name(address: str, scheme: str) -> str:
    from mmengine.runner import checkpoint as known

    name = address.partition('://')[2]
    if scheme in ('torchvision', 'modelzoo'):
        urls = _torchvision_models(address)
    elif scheme == 'mmcls':
        urls = known.get_mmcls_models()
    else:
        urls = known.get_external_models()
        name = known.get_deprecated_model_names().get(name, name)
    if name not in urls:
        import difflib

        near = difflib.get_close_matches(name, urls, n=3)
        hint = f'; did you mean {" or ".join(near)}?' if near else ''
        raise ValueError(f'{address}: mmengine knows no weights of this name{hint}')
    # The table that a user may add in mmengine's own cache has paths below it, too.
    return urls[name] if '://' in urls[name] else str(Path(known._get_mmengine_home(), urls[name]))


def _torchvision_models(address: str) -> dict[str, str]:
    from mmengine.runner.checkpoint import get_torchvision_models

    try:
        return get_torchvision_models()
    except ImportError as error:
        raise ValueError(
            f'{address}: where this lies is known to torchvision, which is not installed ({error}); install the one '
            'that goes with your PyTorch, or give the URL or path of the file'
        ) from error


def _read_by_backend(address: str, scheme: str) -> bytes:
    from mmengine.fileio import get
    from mmengine.fileio.backends import prefix_to_backends

    if scheme not in prefix_to_backends:
        known = ', '.join(f'{name}://' for name in ('https', 'file', *NAMED, *filter(None, prefix_to_backends)))
        raise ValueError(f'{address}: nothing here reads {scheme}://; known are {known} and paths')
    try:
        return get(address)
    except Exception as error:  # of the client of that storage, whatever it raises
        raise OSError(f'{address} cannot be read: {type(error).__name__}: {error}') from error


# ---- downloads -------------------------------------------------------------------------------------------------------


def _downloaded(url: str, sha256: str | None) -> Path:
    target = _place_in_cache(url)
    # Looked for before locking: a cache filled beforehand may be read-only.
    if not target.is_file():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f'{target}.lock'):
                if not target.is_file():
                    _download(url, target, sha256)
                    return target
        except urllib.error.HTTPError as error:
            raise OSError(f'{url} cannot be downloaded: HTTP {error.code} {error.reason}') from error
        except OSError as error:
            reason = getattr(error, 'reason', None) or error
            raise OSError(
                f'{url} cannot be downloaded to {target}: {reason}. Without network, put the file there by hand '
                '(TORCH_HOME names another folder) or give a path'
            ) from error
    _check_sha256(target, sha256, f'{url} (kept in {target}; remove it to download again)')
    return target


def _place_in_cache(url: str) -> Path:
    """Where PyTorch and mmengine keep a download too, if its name has the hash that tells it from others."""
    import torch

    name = Path(urllib.request.url2pathname(urlsplit(url).path)).name or 'checkpoint'
    path = Path(name)
    if not re.search(r'-[0-9a-f]{8,}$', path.stem):  # there are many a model_final.pth
        name = f'{path.stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}{path.suffix}'
    return Path(torch.hub.get_dir(), 'checkpoints', name)


def _download(url: str, target: Path, sha256: str | None) -> None:
    """Downloads beside ``target`` and renames: what lies there is whole."""
    print_log(f'Downloading {url} to {target}', logger='current')
    part = target.with_name(f'{target.name}.part')
    request = urllib.request.Request(url, headers={'User-Agent': 'mmkd'})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response, open(part, 'wb') as file:
            size = response.length
            # disable=None: no bar where the output is a file
            with tqdm(total=size, unit='B', unit_scale=True, desc=target.name, file=sys.stderr, disable=None) as bar:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
            if size is not None and file.tell() != size:
                raise OSError(f'the connection ended after {file.tell()} of {size} bytes')
        _check_sha256(part, sha256, url)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _check_sha256(source: Path | io.BytesIO, expected: str | None, address: str) -> None:
    if expected is None:
        return
    digest = hashlib.sha256(source.getbuffer() if isinstance(source, io.BytesIO) else b'')
    if isinstance(source, Path):
        with open(source, 'rb') as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    if digest.hexdigest() != expected:
        raise ValueError(f'{address} has the sha256 {digest.hexdigest()}, expected {expected}')
