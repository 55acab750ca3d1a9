"""What replaces the targets of a Makefile, Taskfile or justfile."""

import pytest

from deadweight_init.repository.targets import image_targets
from deadweight_init.tree import read_tree

MAKE = """\
DOCKER ?= podman
export IMAGE := shop
.PHONY: image

all: test

image: test ## build it
\t@echo building
\t$(DOCKER) build \\
\t  --file docker/Dockerfile.prod -t $(IMAGE) .

test:
\tgo test ./...
lint:
\tdocker run --rm -v $(PWD):/app golangci/golangci-lint run

run: image
\tdocker run --rm -it -p 8080:8080 $(IMAGE)
release: ; docker push $(IMAGE)
scan-image:
\ttrivy image --severity HIGH $(IMAGE)
publish-image:
\tdocker push $(IMAGE)
"""
JUST = """\
image := "shop"

# comment: docker build
build tag="latest":
    docker buildx build -t {{image}}:{{tag}} .

[private]
@up: build
    docker compose up -d
"""
TASK = """\
version: '3'
vars: {ENGINE: docker}
tasks:
  image:
    deps: [test]
    cmds:
      - cmd: '{{.ENGINE}} build -f Dockerfile .'
  push: docker push shop
  test: {cmd: go test ./...}
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Makefile", MAKE, [
            ("Makefile:7", "make image", "build", "docker/Dockerfile.prod"), ("Makefile:17", "make run", "run", ""),
            ("Makefile:20", "make scan-image", "scan", ""), ("Makefile:22", "make publish-image", "push", ""),
        ]),
        ("justfile", JUST, [("justfile:4", "just build", "build", ""), ("justfile:8", "just up", "run", "")]),
        ("Taskfile.yml", TASK, [
            ("Taskfile.yml:4", "task image", "build", "Dockerfile"), ("Taskfile.yml:8", "task push", "push", ""),
        ]),
        ("Taskfile.yaml", "tasks: [1]\nvars: 3", []), ("Makefile", "a\n:\n\tdocker build", []),
        ("sub/Makefile", MAKE, []),
    ],
)  # fmt: skip
def test_targets_that_handle_images_are_found_with_our_task(tmp_path, name, text, expected):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    made = image_targets(read_tree(tmp_path))
    assert [(target.place, target.typed, target.task, target.dockerfile) for target in made] == expected
