from __future__ import annotations

import pytest

from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import fresh_notebook


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for the tests of a module: it takes seconds to start."""
    with running_kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        cell = kernel.run("%load_ext szal_nb\nimport asyncio, sys, time\nimport szal_nb as szal", cell_id="first")
        assert not cell.error, cell.tracebacks
        yield kernel


@pytest.fixture
def notebook(kernel):
    """A notebook without steps."""
    with fresh_notebook(kernel) as notebook:
        yield notebook
