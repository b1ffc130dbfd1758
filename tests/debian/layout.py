#!/usr/bin/env python3
"""Writes an image made of layer tars into an OCI layout.

    layout.py LAYOUT TAG gzip|zstd ARCH LAYER...     (each LAYER without its .tar)

A layer that was compressed before (LAYER.tar.gzip, LAYER.tar.zstd) is not compressed again.
"""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

COMMANDS = {"gzip": ["gzip", f"-{os.environ.get('GZIP_LEVEL', '6')}", "-n", "-c"], "zstd": ["zstd", "-q", "-3", "-c"]}


def sha256(path):
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


def put(layout, data):
    """Stores small content and returns its descriptor without a media type."""
    name = hashlib.sha256(data).hexdigest()
    with open(f"{layout}/blobs/sha256/{name}", "wb") as file:
        file.write(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def layer(layout, path, compression):
    """Compresses one layer into the layout: (diff_id, descriptor)."""
    tar, compressed = f"{path}.tar", f"{path}.tar.{compression}"
    if not os.path.exists(compressed):
        with open(f"{compressed}.part", "wb") as file:
            subprocess.run(COMMANDS[compression] + [tar], stdout=file, check=True)
        os.rename(f"{compressed}.part", compressed)
    name = sha256(compressed)
    blob = f"{layout}/blobs/sha256/{name}"
    if not os.path.exists(blob):
        os.link(compressed, blob)
    return f"sha256:{sha256(tar)}", {
        "mediaType": f"application/vnd.oci.image.layer.v1.tar+{compression}",
        "digest": f"sha256:{name}",
        "size": os.path.getsize(blob),
    }


def main():
    layout, tag, compression, arch, *layers = sys.argv[1:]
    os.makedirs(f"{layout}/blobs/sha256", exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda path: layer(layout, path, compression), layers))
    created = "2026-01-0{}T00:00:00Z".format(tag[1])
    config = {
        "created": created,
        "architecture": arch,
        "os": "linux",
        "config": {"Labels": {"org.opencontainers.image.version": tag.split("-")[0], "containers.bootc": "1"}},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for diff_id, _ in made]},
        "history": [{"created": created, "created_by": f"ADD {os.path.basename(path)}"} for path in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            **put(layout, json.dumps(config).encode()),
        },
        "layers": [descriptor for _, descriptor in made],
    }
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **put(layout, json.dumps(manifest).encode()),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    index_path = f"{layout}/index.json"
    index = {"schemaVersion": 2, "manifests": []}
    if os.path.exists(index_path):
        with open(index_path) as file:
            index = json.load(file)
    index["manifests"].append(entry)
    with open(index_path, "w") as file:
        json.dump(index, file)
    with open(f"{layout}/oci-layout", "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)


main()
