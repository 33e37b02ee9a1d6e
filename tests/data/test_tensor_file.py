"""Files of ``torch.save``: tensors and plain values, or one line that says no more than it should."""

import os
import pickle

import pytest
import torch

from dgl_dysign.data import tensor_file
from dgl_dysign.data.tensor_file import load_tensors, save_tensors


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("mmap", [True, False])
def test_code_is_not_run_nor_is_it_said_how_to_run_it(tmp_path, monkeypatch, mmap):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2), "b": Evil()}, "new.pt")
    torch.save(Evil(), "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("new.pt", "old.pt", "plain.pt"):
        with pytest.raises(ValueError, match=r"^[^\n]{5,200}$") as raised:
            load_tensors(name, mmap)
        assert "weights_only" not in str(raised.value)
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_what_is_damaged_or_no_file_is_refused(tmp_path):
    path = tmp_path / "t.pt"
    torch.save({"a": torch.ones(200)}, path)
    whole = path.read_bytes()
    assert load_tensors(path)["a"].sum() == 200
    for data in (b"", whole[:300], whole[:-30], b"x" * 1000):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"^[^\n]{5,}$"):
            load_tensors(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="found a named pipe, expected a regular file"):
        load_tensors(path)


def test_a_flipped_bit_of_a_number_is_noticed_where_that_is_asked(tmp_path):
    """PyTorch itself reads on: its archives have checksums, which it does not compare."""
    path = tmp_path / "t.pt"
    torch.save({"a": torch.full((200,), 1.5)}, path)
    whole, number = path.read_bytes(), torch.tensor(1.5).numpy().tobytes()
    at = whole.index(number * 200) + 2
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert load_tensors(path)["a"][0] != 1.5
    with pytest.raises(ValueError, match=r"it is damaged .*the checksum of .* does not fit"):
        load_tensors(path, check=True)
    path.write_bytes(whole)
    assert (load_tensors(path, check=True)["a"] == 1.5).all()


def test_a_full_disk_is_said_to_be_full(tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file, self.written = file, 0

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.written += len(data)
            if self.written > 5000:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

    monkeypatch.setattr(tensor_file, "open", lambda *way: Full(open(*way)), raising=False)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left on device"):
        save_tensors({"a": torch.ones(5000)}, tmp_path / "t.pt")
    assert not list(tmp_path.iterdir())
