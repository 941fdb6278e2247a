"""The shelf: the models last served, on this machine's disk, so that a registry that is away stops nothing."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bakeoff import durable
from experiments.home import Home
from experiments.package import Package
from experiments.tracking import address


@dataclass(frozen=True, kw_only=True)
class Aliases:
    """Which version stands where; previous: what a rollback would restore."""

    champion: int | None
    challenger: int | None
    previous: int | None


class Shelf:
    """Packages and the last known aliases of one model under home/serving/; another registry has another shelf."""

    def __init__(self, home: Home, model: str) -> None:
        registry = hashlib.sha256(address(home).encode()).hexdigest()[:12]
        self.folder = home.root / "serving" / registry / model

    def aliases(self) -> Aliases | None:
        """What the registry said last; None when it was never asked."""
        path = self.folder / "aliases.json"
        return Aliases(**json.loads(path.read_text())) if path.exists() else None

    def note(self, aliases: Aliases) -> None:
        """Remember what the registry says."""
        if self.aliases() != aliases:
            durable.write_bytes(self.folder / "aliases.json", json.dumps(asdict(aliases)).encode())

    def versions(self) -> list[int]:
        """The versions that lie here."""
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*") if path.is_dir())

    def load(self, version: int) -> Package | None:
        """The package of a version, None when it does not lie here. A version never changes: no registry is asked."""
        folder = self.place(version)
        return Package.load(folder) if folder.exists() else None

    def place(self, version: int) -> Path:
        """Where the package of a version lies, once it does."""
        return self.folder / str(version)

    def keep(self, version: int, package: Package) -> None:
        """Put a package here, whole or not at all."""
        folder, unfinished = self.place(version), self.folder / f".{uuid.uuid4().hex}"
        try:
            package.save(unfinished)
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def drop_others(self, versions: Iterable[int]) -> None:
        """Remove the versions that nobody serves any more."""
        for version in set(self.versions()) - set(versions):
            shutil.rmtree(self.place(version), ignore_errors=True)
