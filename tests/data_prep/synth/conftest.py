import pytest

from data_prep.synth import Request, write


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Generate a folder once a session: (name, **request) -> path."""
    known = {}

    def make(name, **asked):
        key = name, tuple(sorted(asked.items()))
        if key not in known:
            folder = tmp_path_factory.mktemp(name)
            write(Request(name, **asked), folder)
            known[key] = folder
        return known[key]

    return make
