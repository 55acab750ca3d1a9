"""Connect the Docker SDK to an engine."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import wait as answer_in
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight import _run
from deadweight._errors import CommandError, Interrupted, MissingError, wording
from deadweight._run import Stop
from deadweight.engine import api as wire
from deadweight.engine import netns

if TYPE_CHECKING:
    from docker.api.client import APIClient
    from docker.tls import TLSConfig
    from requests.adapters import BaseAdapter

    from deadweight.engine.api import Endpoint


API_TIMEOUT_SECONDS = 120
"""How long an engine may be silent while it sends or takes an image."""
ANSWER_SECONDS = 60
"""How long it may take for any other answer, on a busy machine too."""
CONNECTIONS = 10
"""How many are kept open over SSH."""
LOOK_SECONDS = 0.5
"""How often somebody who waits for an answer asks whether the run is to end."""
PAUSED_SECONDS = 10
"""How long one that gave no answer in time is waited for from then on, until it answers again."""
ENDING_SECONDS = 1
"""The same once the run is to end (Ctrl-C): what cannot be removed by then is removed by the next command."""

_paused: weakref.WeakSet[APIClient] = weakref.WeakSet()


def connected(host: str, certificates: str | None) -> APIClient:
    """The SDK's client of the engine at this address. Raises MissingError if nothing answers, or nothing that can be spoken to.

    The engine is asked first, without the SDK, which tells of one that does not answer in a dozen nested errors, leaves its socket
    open, and would ask for the version through an adapter of its own."""
    from docker.errors import DockerException

    over_ssh = host.startswith(wire.SSH)
    if problem := wire.trouble(host, certificates):
        hint = wire.ssh_hint(host) if over_ssh else ""
        raise MissingError(wording("engine.no_answer_at", host=host, problem=problem), hint=hint)
    seconds = wire.SSH_PING_SECONDS if over_ssh else ANSWER_SECONDS
    version = wire.document(host, "/version", certificates, timeout=seconds).get("ApiVersion")
    if not isinstance(version, str):
        raise MissingError(wording("engine.api_unusable", host=host, problem=wording("engine.no_version")))
    try:
        client = _client()(
            base_url="unix:///over-ssh" if over_ssh else host,
            version=version,
            timeout=API_TIMEOUT_SECONDS,
            tls=_tls(Path(certificates)) if certificates else False,
        )
    except (DockerException, ValueError) as error:
        raise MissingError(wording("engine.api_unusable", host=host, problem=error)) from error
    if over_ssh:
        client.mount("http+docker://", _ssh_adapter(host))
    return client


def _ssh_adapter(host: str) -> BaseAdapter:
    """What the SDK's session is to speak through (its own one wants a second implementation of SSH)."""
    from docker.transport import unixconn
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool

    class Connection(HTTPConnection):
        def connect(self) -> None:
            self.sock = wire.dial_ssh(host, API_TIMEOUT_SECONDS)

    class Adapter(unixconn.UnixHTTPAdapter):
        def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002 - the SDK gives it by name
            return pool

        def close(self) -> None:
            pool.close()

    pool = HTTPConnectionPool("localhost", timeout=API_TIMEOUT_SECONDS, maxsize=CONNECTIONS)
    pool.ConnectionCls = Connection
    return Adapter("http+unix://over-ssh", API_TIMEOUT_SECONDS)


def look(api: APIClient) -> None:
    """Ask whether the engine answers, so that nothing waits long for one that does not: one that is paused takes requests, and is
    silent."""
    import requests

    try:
        api.get(f"{api.base_url}/_ping", timeout=PAUSED_SECONDS)
    except requests.exceptions.Timeout:
        _paused.add(api)
    except requests.exceptions.RequestException:
        pass  # who asks for more is told


@functools.cache
def _client() -> type[APIClient]:
    """The SDK's client, which waits for a paused engine once, and trusts what it is told to.

    For a request without ``verify``, requests takes REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE before what its session has: the engine's
    own certificate is in neither.
    """
    from docker.api.client import APIClient
    from requests.exceptions import Timeout

    class Client(APIClient):
        def send(self, request: Any, **settings: Any) -> Any:
            usual = settings.get("timeout") == self.timeout
            if usual:
                longest = API_TIMEOUT_SECONDS if settings.get("stream") else ANSWER_SECONDS
                silent = ENDING_SECONDS if _run.cancelled() else PAUSED_SECONDS
                settings["timeout"] = silent if self in _paused else longest
            try:
                answer = _unless_ending(lambda: super(Client, self).send(request, **settings))
            except Timeout as error:
                # else it was the caller who did not want to wait longer, or Ctrl-C
                if usual and not isinstance(error.__cause__, Interrupted):
                    _paused.add(self)
                raise
            _paused.discard(self)
            return answer

        def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
            trusted = self.verify if verify is None else verify
            return super().merge_environment_settings(url, proxies, stream, trusted, cert)

    return Client


def _unless_ending(send: Callable[[], Any]) -> Any:
    """What a request gives. Nothing wakes a worker that waits for a silent engine; so a thread of its own waits, and the worker
    goes its way soon after Ctrl-C. The main thread is woken by that itself. Raises Timeout then, and what ``send`` raises."""
    from requests.exceptions import Timeout

    if threading.current_thread() is threading.main_thread():
        return send()
    answer, left = netns.in_thread(send), float(PAUSED_SECONDS)
    while not answer_in([answer], LOOK_SECONDS).done:
        left -= LOOK_SECONDS if _run.cancelled() else 0
        if left <= 0:
            raise Timeout(wording("engine.no_answer_before_end")) from Interrupted("interrupted")
    return answer.result()


def _tls(folder: Path) -> TLSConfig:
    """The same files as Docker's own client reads (DOCKER_CERT_PATH)."""
    from docker.tls import TLSConfig

    pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
    return TLSConfig(client_cert=pair, ca_cert=str(folder / "ca.pem"), verify=True)


# Whether an engine still answers while one of its clients waits for it: a paused one (SIGSTOP, a machine that sleeps) is silent,
# and the client would wait on for as long as it is let.
EVERY_SECONDS = 20.0


@contextlib.contextmanager
def watch_engine(endpoint: Endpoint) -> Iterator[Stop]:
    """Gives what the client is run with (``run(stop=…)``): it is ended where the engine falls silent. Raises MissingError then.

    Not over SSH, where each question is a connection of its own, and ssh itself notices.
    """
    stop, over = Stop(), threading.Event()
    silent: list[str] = []
    trouble = functools.partial(wire.trouble, endpoint.host, endpoint.certificates)

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            if trouble(timeout=ANSWER_SECONDS) and (problem := trouble(timeout=PAUSED_SECONDS)):
                silent.append(problem)
                stop.now()
                return

    if not endpoint.host.startswith(wire.SSH):
        threading.Thread(target=watch, daemon=True, name="vigil").start()
    try:
        yield stop
    except CommandError as error:
        if not silent:
            raise
        raise MissingError(wording("engine.fell_silent", host=endpoint.host, problem=silent[0])) from error
    finally:
        over.set()
