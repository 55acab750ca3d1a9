"""Work in another network namespace."""

import os
import sys

import pytest

from deadweight._errors import MissingError
from deadweight.engine import netns

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root enters a namespace"),
]


@pytest.mark.parametrize("error", [OSError(5, "an error of the kernel's"), MissingError("iptables is not there")])
def test_what_goes_wrong_there_is_raised_here(error):
    def work() -> None:
        raise error

    with pytest.raises(type(error), match=r"error of the kernel|iptables is not there"):
        netns.within(os.getpid(), work)


def test_what_comes_of_it_is_given():
    assert netns.within(os.getpid(), lambda: 42) == 42
