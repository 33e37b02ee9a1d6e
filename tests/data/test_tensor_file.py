"""Files of ``torch.save``: tensors and plain values, or one line that says no more than it should."""

import os
import pickle

import pytest
import torch

from dgl_dysign.data.tensor_file import load_tensors


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
