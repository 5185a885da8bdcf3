"""Addresses: each kind finds its file, each failure names the address and leaves nothing in the cache."""

import hashlib
import sys
import threading
from http.server import SimpleHTTPRequestHandler

import pytest
import torch
from helpers.foreign_files import served
from mmengine.runner import checkpoint

from mmkd.utils import download
from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.download import open_address
from mmkd.utils.errors import CheckpointError, CheckpointNotFoundError

WEIGHTS = dict(state_dict=dict(weight=torch.arange(3.0)))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache/hub/checkpoints'


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'files'
    for name in ('model.pth', 'a/model.pth', 'b/model.pth', 'net-0676ba61.pth'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(dict(state_dict=dict(weight=torch.full((3,), float(len(name))))), folder / name)
    return folder


def kept(cache):
    """What is in the cache, but for the locks."""
    return sorted(path.name for path in cache.glob('*') if path.suffix != '.lock')


def test_a_file_url_is_the_file(folder):
    name = folder / 'with blank #1.pth'
    torch.save(WEIGHTS, name)
    assert open_address(name.as_uri()) == name
    assert open_address(f'file://localhost{folder}/model.pth') == folder / 'model.pth'
    with pytest.raises(FileNotFoundError, match=r'file:///no\.pth does not exist'):
        open_address('file:///no.pth')
    with pytest.raises(ValueError, match='three slashes'):
        open_address('file://relative/model.pth')


def test_the_home_folder_may_be_a_tilde(folder, monkeypatch):
    monkeypatch.setenv('HOME', str(folder))
    assert open_address('~/model.pth') == folder / 'model.pth'


def test_a_download_is_kept_whatever_others_of_its_name_there_are(folder, cache):
    with served(folder) as (url, asked):
        for _ in range(2):
            a, b = (load_checkpoint_file(f'{url}/{part}/model.pth') for part in 'ab')
            assert torch.equal(a['state_dict']['weight'], torch.full((3,), 11.0))
            load_checkpoint_file(f'{url}/net-0676ba61.pth')
    assert sorted(asked) == ['/a/model.pth', '/b/model.pth', '/net-0676ba61.pth']
    assert len(kept(cache)) == 3 and 'net-0676ba61.pth' in kept(cache)  # the name that PyTorch and mmengine look for


def test_several_processes_wait_for_one_of_them(folder, cache):
    with served(folder) as (url, asked):
        threads = [threading.Thread(target=load_checkpoint_file, args=(f'{url}/model.pth',)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert asked == ['/model.pth'] and len(kept(cache)) == 1


def test_a_checksum_is_compared(folder, cache):
    right = hashlib.sha256((folder / 'model.pth').read_bytes()).hexdigest()
    wrong = '0' * 64
    with served(folder) as (url, _):
        with pytest.raises(CheckpointError, match=f'model.pth.* has the sha256 {right}, expected {wrong}'):
            load_checkpoint_file(f'{url}/model.pth#sha256={wrong}')
        assert not kept(cache)
        load_checkpoint_file(f'{url}/model.pth#sha256={right}')
        with pytest.raises(CheckpointError, match='remove it to download again.* has the sha256'):
            load_checkpoint_file(f'{url}/model.pth#sha256={wrong}')
    load_checkpoint_file(f'{(folder / "model.pth").as_uri()}#sha256={right}')
    with pytest.raises(CheckpointError, match='64 hex digits were expected'):
        load_checkpoint_file(f'{(folder / "model.pth").as_uri()}#md5=1')


def test_a_missing_file_is_named_with_what_the_server_says(folder, cache):
    with (
        served(folder) as (url, _),
        pytest.raises(CheckpointError, match=rf'{url}/no\.pth cannot be downloaded: HTTP 404'),
    ):
        load_checkpoint_file(f'{url}/no.pth')
    assert not kept(cache)


def test_a_server_that_is_not_there_is_named_with_the_way_around_it(folder, cache):
    with served(folder) as (url, _):
        pass
    message = rf'{url}/a\.pth cannot be downloaded to .*: .*refused.*put the file there'
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint_file(f'{url}/a.pth')


class _CutsOff(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def copyfile(self, source, outputfile):
        outputfile.write(source.read()[:100])


def test_a_connection_that_ends_early_leaves_nothing(folder, cache):
    with (
        served(folder, _CutsOff) as (url, _),
        pytest.raises(CheckpointError, match=r'ended after 100 of \d+ bytes'),
    ):
        load_checkpoint_file(f'{url}/model.pth')
    assert not kept(cache)


def test_a_damaged_download_says_what_to_remove(folder, cache):
    (folder / 'page.pth').write_text('<html>Sign in</html>')
    with served(folder) as (url, _):
        message = r'page\.pth \(kept in .*page-.*\.pth; remove it to download again\) is no PyTorch file, .*Sign in'
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint_file(f'{url}/page.pth')


def test_names_that_mmengine_knows_become_urls(monkeypatch):
    asked = []
    monkeypatch.setattr(download, '_downloaded', lambda url, sha256: asked.append((url, sha256)))
    monkeypatch.setattr(checkpoint, 'get_torchvision_models', lambda: dict(resnet18='https://a.org/resnet18.pth'))
    open_address('torchvision://resnet18')
    open_address(f'open-mmlab://resnet18_v1c#sha256={"a" * 64}')
    open_address('mmcls://mobilenet_v2')
    assert all(url.startswith('http') for url, _ in asked) and len({url for url, _ in asked}) == 3
    assert asked[1][1] == 'a' * 64
    with pytest.raises(CheckpointError, match=r'torchvision://resnet81: .*did you mean .*resnet'):
        load_checkpoint_file('torchvision://resnet81')


def test_names_of_torchvision_ask_for_it_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    with pytest.raises(CheckpointError, match='torchvision://resnet18: .* torchvision, which is not installed'):
        load_checkpoint_file('torchvision://resnet18')


def test_a_classifier_of_mmcls_gives_its_backbone(folder, monkeypatch):
    torch.save(dict(state_dict={'backbone.conv': torch.ones(1), 'head.fc': torch.ones(1)}), folder / 'classifier.pth')
    monkeypatch.setattr(download, '_downloaded', lambda url, sha256: folder / 'classifier.pth')
    assert list(load_checkpoint_file('mmcls://mobilenet_v2')['state_dict']) == ['conv']


def test_another_storage_is_read_through_mmengines_backend(folder, monkeypatch):
    from mmengine.fileio.backends import LocalBackend, prefix_to_backends

    class Bucket(LocalBackend):
        def __init__(self, **kwargs):
            pass

        def get(self, filepath):
            if 'no.pth' in filepath:
                raise ConnectionError('no such key')
            return (folder / filepath.rpartition('/')[2]).read_bytes()

    monkeypatch.setitem(prefix_to_backends, 's3', Bucket)
    for address in ('s3://bucket/model.pth', 'cluster:s3://bucket/model.pth'):
        assert torch.equal(load_checkpoint_file(address)['state_dict']['weight'], torch.full((3,), 9.0))
    with pytest.raises(CheckpointError, match=r's3://bucket/no\.pth cannot be read: ConnectionError: no such key'):
        load_checkpoint_file('s3://bucket/no.pth')


def test_an_unknown_prefix_is_refused_with_those_that_are_known():
    with pytest.raises(CheckpointError, match=r'gopher://a/b\.pth: nothing here reads gopher://; known are https://'):
        load_checkpoint_file('gopher://a/b.pth')


def test_a_missing_path_is_a_missing_checkpoint():
    with pytest.raises(CheckpointNotFoundError, match=r'checkpoint no\.pth does not exist'):
        load_checkpoint_file('no.pth')
