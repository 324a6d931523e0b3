"""What kind of file system a store lies on, and which journal is safe there.

WAL needs memory that all processes of a store share, which network file systems do not give. Some of them say yes to
WAL and fail at the first write, or only from a second machine, so they are told by their type; what is of no type that
is known here is tried (`probe`).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

# `fuse` alone stands for all of its kind: sshfs, s3fs, gcsfuse and the like.
_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "glusterfs",
        "gpfs",
        "lustre",
        "ocfs2",
        "gfs2",
        "orangefs",
        "virtiofs",
        "vboxsf",
        "drvfs",
        "davfs",
    }
)
# These are FUSE drivers of local disks.
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.ntfs", "fuse.ntfs-3g", "fuse.fuse-overlayfs"})


# Disks of this machine, and what lies over them.
_LOCAL = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs", "tmpfs", "ramfs"),
        *("overlay", "aufs", "vfat", "exfat", "ntfs", "ntfs3", "hfsplus", "apfs", "iso9660", "squashfs", "erofs"),
    }
)


class FileSystem(msgspec.Struct, frozen=True):
    """The file system of a path: its type as the system calls it, and where it is mounted; empty if unknown."""

    kind: str
    mount: str

    @property
    def is_network(self) -> bool:
        """Whether other machines may have it mounted too, or it cannot share memory between processes."""
        if self.kind in _LOCAL_FUSE:
            return False
        return self.kind in _NETWORK or self.kind.split(".")[0] == "fuse"

    @property
    def is_known(self) -> bool:
        """Whether its type tells what is safe."""
        return self.is_network or self.kind in _LOCAL or self.kind in _LOCAL_FUSE

    @property
    def journal_mode(self) -> str:
        """The journal of SQLite that is safe here."""
        return "TRUNCATE" if self.is_network else "WAL"


def file_system_of(path: Path, *, mountinfo: Path = Path("/proc/self/mountinfo")) -> FileSystem:
    """The file system that holds `path`, which need not exist. Linux only; elsewhere it is taken for a local disk."""
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return FileSystem("", "")
    place = path.resolve()
    found = FileSystem("", "")
    for line in lines:
        # https://www.kernel.org/doc/Documentation/filesystems/proc.txt, section 3.5
        before, _, after = line.partition(" - ")
        mount = before.split(" ")[4].encode().decode("unicode_escape")
        # Of mounts at one place the last one is seen.
        if place.is_relative_to(mount) and len(mount) >= len(found.mount):
            found = FileSystem(after.split(" ")[0], mount)
    return found


def has_wal_reset_bug(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite may damage a WAL that several connections write and checkpoint at once.

    https://www.sqlite.org/wal.html#walresetbug. The store's lock keeps them apart; other programs do not take it.

    >>> [has_wal_reset_bug(v) for v in ((3, 40, 1), (3, 44, 6), (3, 50, 7), (3, 51, 2), (3, 51, 3), (3, 53, 0))]
    [True, False, False, True, False, False]
    """
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    return (3, 7, 0) <= version < (3, 51, 3)
