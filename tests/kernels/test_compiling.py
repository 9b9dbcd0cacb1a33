"""The cache of compiled code on disk."""

from fastbp.kernels.compiling import _Files


def test_two_processes_that_save_at_once_never_take_each_others_code(tmp_path, monkeypatch):
    """Both have read the index before either writes it, and one writes its code while the other is about to."""
    one, other, later = (_Files(str(tmp_path), "advance", "stamp") for _ in range(3))
    write = one._save_data

    def interrupted(name: str, data: object) -> None:
        other.save("b", "code of b")
        write(name, data)

    monkeypatch.setattr(one, "_save_data", interrupted)
    monkeypatch.setattr(other, "_load_index", dict)
    one.save("a", "code of a")
    assert later.load("a") in (None, "code of a")
    assert later.load("b") == "code of b"


def test_a_file_that_is_gone_is_compiled_again(tmp_path):
    files = _Files(str(tmp_path), "advance", "stamp")
    files.save("a", "code of a")
    assert files.load("a") == "code of a"
    for file in tmp_path.glob("*.nbc"):
        file.unlink()
    assert files.load("a") is None
