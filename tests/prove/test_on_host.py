"""A runner on this host that never comes to its own code: the build says why."""

import pytest

from edgepose.errors import BuildError
from edgepose.prove.on_host import outputs_on_host
from edgepose.runners.plan import Plan

PLAN = Plan(
    run_id="run-7",
    mode="prove",
    engine="tvm",
    artifact={},
    options={},
    inputs=(),
    outputs=(),
    golden=(),
    sha256={},
    threads=1,
    cpus=None,
    gate={},
)


def test_a_runner_that_ends_before_it_began_is_named_with_its_last_words() -> None:
    lacking = ("sh", "-c", "echo 'libc.so.6 is too old' >&2; exit 127")
    with pytest.raises(BuildError, match="exit code 127 before it began: libc") as caught:
        outputs_on_host(PLAN, lacking)
    assert "edgepose doctor" in caught.value.hint


def test_a_runner_that_cannot_be_started_is_named() -> None:
    with pytest.raises(BuildError, match="/no/runner does not start here: No such file"):
        outputs_on_host(PLAN, ("/no/runner",))
