"""Web servers for web seeds: nginx, which knows ranges, and Python's own, which doesn't."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .node import HOST, free_port, need, wait_listening
from .process import Child, EngineError

NGINX = """
daemon off; master_process off; user root; pid {work}/pid; error_log {work}/error.log;
events {{ }}
http {{
    access_log {work}/access.log combined;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    sendfile on; keepalive_timeout 20;
    server {{
        listen {host}:{port}{tls};
        location / {{ root {root}; limit_rate {rate}; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /elsewhere/$1 redirect; }}
        location /elsewhere/ {{ alias {root}/; }}
        location /round/ {{ rewrite ^ /round/and/round redirect; }}
    }}
}}
"""


class Nginx:
    """A server of a folder. Under `/moved/` it redirects to the same files, under `/round/` to nowhere."""

    def __init__(self, root: Path, work: Path, rate: int = 0, secure: bool = False) -> None:
        self.root, self.work, self.rate, self.secure = root, work, rate, secure
        self.port = free_port()
        self.child: Child | None = None
        work.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http{'s' if self.secure else ''}://{HOST}:{self.port}/"

    @property
    def authority(self) -> Path:
        """Who vouches for it, for `SSL_CERT_FILE`."""
        return self.work / "ca.pem"

    @property
    def requests(self) -> list[str]:
        """What it was asked, a line each."""
        return (self.work / "access.log").read_text().splitlines()

    def __enter__(self) -> Nginx:
        tls = ""
        if self.secure:
            _certify(self.work)
            tls = f" ssl; ssl_certificate {self.work}/server.pem; ssl_certificate_key {self.work}/server.key"
        config = self.work / "nginx.conf"
        options = {"work": self.work, "root": self.root, "host": HOST, "port": self.port, "tls": tls}
        config.write_text(NGINX.format(rate=self.rate, **options))
        self.child = Child([need("nginx"), "-p", str(self.work), "-c", str(config)], self.work / "nginx.log")
        wait_listening((HOST, self.port), 10, self.child)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.child is not None, "not started"
        self.child.stop()


class Rangeless:
    """Python's own server: it sends whole files, whatever is asked for."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work
        self.port = free_port()
        self.child: Child | None = None
        work.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def __enter__(self) -> Rangeless:
        words = [sys.executable, "-m", "http.server", str(self.port), "--bind", HOST, "--directory", str(self.root)]
        self.child = Child(words, self.work / "http.server.log")
        wait_listening((HOST, self.port), 10, self.child)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.child is not None, "not started"
        self.child.stop()


def _certify(work: Path) -> None:
    """An authority, and a certificate of its for this host's address."""
    ca, server = work / "ca", work / "server"
    new = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes"]
    names = work / "names"
    names.write_text(f"subjectAltName=IP:{HOST}\nbasicConstraints=CA:FALSE\n")
    _run(*new, "-x509", "-days", "2", "-subj", "/CN=a test", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    _run(*new, "-subj", "/CN=a server", "-keyout", f"{server}.key", "-out", f"{server}.csr")
    sign = ["openssl", "x509", "-req", "-days", "2", "-in", f"{server}.csr", "-CA", f"{ca}.pem"]
    _run(*sign, "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile", str(names), "-out", f"{server}.pem")


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EngineError(f"{' '.join(words)}: {done.stderr.strip()}")
