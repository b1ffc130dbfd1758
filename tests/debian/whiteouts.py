#!/usr/bin/env python3
"""Translates what an overlay's upper directory says about deleted things into OCI's words.

    whiteouts.py UPPER MARKS LOWER...

Makes the marker files (`.wh.NAME`, `.wh..wh..opq`) below MARKS and prints, one a line, the paths of UPPER that
the layer's tar leaves out. The kernel marks every new directory of UPPER opaque; only those that hide a
directory of a lower layer get a marker. See Documentation/filesystems/overlayfs.rst and the OCI image
specification's layer.md.
"""

import os
import stat
import sys


def main():
    upper, marks, *lower = sys.argv[1:]
    for directory, names, files in os.walk(upper):
        inside = os.path.relpath(directory, upper)
        for name in files:
            status = os.lstat(os.path.join(directory, name))
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                mark(marks, inside, f".wh.{name}")
                print(os.path.join(".", inside, name).replace("/./", "/"))
        if inside != "." and is_opaque(directory) and any(os.path.isdir(os.path.join(l, inside)) for l in lower):
            mark(marks, inside, ".wh..wh..opq")


def is_opaque(directory):
    try:
        return os.getxattr(directory, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def mark(marks, directory, name):
    os.makedirs(os.path.join(marks, directory), exist_ok=True)
    open(os.path.join(marks, directory, name), "wb").close()


main()
