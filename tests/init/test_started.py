"""What the own image gives a compiled program when it starts it, whatever stands around it."""

from __future__ import annotations

import pytest

from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

GO = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'


def drafted(folder, files):
    return recipe(find_services(look(written(folder, files)))[0], "build")


@pytest.mark.parametrize(
    ("dockerfile", "refused"),
    [
        (
            'FROM alpine:3\nWORKDIR /app\nCOPY . .\nENTRYPOINT ["bin/shop"]\n',
            "it starts bin/shop, which is not in the repository",
        ),
        ('FROM scratch\nCOPY . /srv\nCMD ["/srv/shop", "serve"]\n', "it starts shop, which is not in the repository"),
        ('FROM alpine:3\nCOPY . /srv\nCMD ["/srv/start"]\n', ""),
        ('FROM alpine:3\nWORKDIR /app\nCOPY . .\nRUN make\nENTRYPOINT ["bin/shop"]\n', ""),
        ('FROM golang\nWORKDIR /app\nCOPY . .\nENTRYPOINT ["bin/shop"]\n', ""),
        ('FROM alpine:3\nCOPY . .\nENTRYPOINT ["httpd"]\n', ""),
    ],
)
def test_an_image_whose_program_an_earlier_build_makes_is_known(tmp_path, dockerfile, refused):
    made = drafted(tmp_path, {"go.mod": "module x.org/shop\n", "main.go": GO, "start": "", "Dockerfile": dockerfile})
    assert made.service.dockerfiles[0].refused.startswith(refused)
    assert bool(made.service.dockerfiles[0].refused) is bool(refused)
