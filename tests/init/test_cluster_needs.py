"""A database of the manifests is started beside a service whose environment names its Service."""

from __future__ import annotations

import pytest

from deadweight_init.draft import first_draft
from deadweight_init.records import Beside, Known
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written

SHOP = """
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - name: shop
          image: registry.example.com/team/shop:1
          env:
            - {name: DATABASE_URL, value: "postgres://me:secret@HOST:5432/shop"}
            - {name: DATABASE_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
"""
DATABASE = """
apiVersion: v1
kind: Service
metadata: {name: orders-db}
spec: {selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Secret
metadata: {name: db}
data: {password: c2VjcmV0}
stringData: {user: me}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: pg}
spec:
  template:
    metadata: {labels: {app: db, tier: data}}
    spec:
      containers:
        - {name: exporter, image: "quay.io/exporter:1"}
        - name: postgres
          image: docker.io/library/postgres:16-alpine
          args: [-c, max_connections=20]
          env:
            - {name: POSTGRES_USER, valueFrom: {secretKeyRef: {name: db, key: user}}}
            - {name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
"""
FILES = {"Dockerfile": 'FROM scratch\nCMD ["/x"]\n', "k8s/db.yaml": DATABASE}


@pytest.mark.parametrize("host", ["orders-db", "orders-db.shops.svc.cluster.local"])
def test_a_database_of_the_manifests_is_started_beside_the_service(tmp_path, host):
    root = written(tmp_path / "shop", {**FILES, "k8s/shop.yaml": SHOP.replace("HOST", host)})
    (service,) = find_services(look(root))
    env = {"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "secret"}
    need = Beside(host, "docker.io/library/postgres:16-alpine", 5432, env, ("-c", "max_connections=20"))
    assert service.around.needs == (Known(need, "from k8s/db.yaml"),)
    assert service.around.env["DATABASE_PASSWORD"] == Known("secret", "from k8s/shop.yaml")
    assert host in first_draft(service, "build").run["env"].value["DATABASE_URL"]
    assert service.spare == ()


def test_a_database_that_the_environment_does_not_name_is_not_started(tmp_path):
    root = written(tmp_path / "shop", {**FILES, "k8s/shop.yaml": SHOP.replace("HOST", "another-db")})
    (service,) = find_services(look(root))
    assert service.around.needs == ()
    assert service.around.env == {}
    assert len(service.spare) == 1


def test_a_compose_file_is_believed_before_manifests(tmp_path):
    compose = 'services:\n  web:\n    build: .\n    environment: {LEVEL: "1"}\n'
    files = {**FILES, "k8s/shop.yaml": SHOP.replace("HOST", "orders-db"), "compose.yaml": compose}
    (service,) = find_services(look(written(tmp_path / "shop", files)))
    assert service.around.needs == ()
    assert service.around.env == {"LEVEL": Known("1", "from compose.yaml:4")}
