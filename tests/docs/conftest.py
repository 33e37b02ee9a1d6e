"""What holds for all tests of documentation."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _sketches(sketches):
    """Let no picture be laid out."""
