#!/usr/bin/env python3
"""Splits the tar of a root file system into layers and writes them as an OCI layout.

usage: image.py ROOTFS.tar LAYOUT-DIR TAG gzip|zstd VERSION

Kernel and initramfs move to /usr/lib/modules/<kver>/, where a bootable container image has them; a placeholder
stands for the initramfs when the root file system has none. Used by the benchmark and the tests on real
images; needs python3, gzip and zstd only.
"""
import hashlib, io, json, os, re, subprocess, sys, tarfile

# The first rule that matches a path names its layer; layers are stacked in this order.
LAYERS = [
    ("base", re.compile(r"^(?!usr/(lib/(modules|firmware|python3|gcc|postgresql|x86_64-linux-gnu|aarch64-linux-gnu)|share|bin|sbin|libexec)(/|$))")),
    ("kernel", re.compile(r"^usr/lib/(modules|firmware)(/|$)")),
    ("libraries", re.compile(r"^usr/lib/(x86_64-linux-gnu|aarch64-linux-gnu|gcc|postgresql)(/|$)")),
    ("python", re.compile(r"^usr/lib/python3(/|$)")),
    ("programs", re.compile(r"^usr/(bin|sbin|libexec)(/|$)")),
    ("data", re.compile(r"^usr/share(/|$)")),
]


def clean(name):
    while name.startswith("./"):
        name = name[2:]
    return "" if name == "." else name.rstrip("/")


def layer_of(path):
    return next(i for i, (_, rule) in enumerate(LAYERS) if rule.search(path))


def split(rootfs, directory):
    """Writes one tar for each layer; a hard link goes where its target is."""
    paths = [os.path.join(directory, f"layer{i}.tar") for i in range(len(LAYERS))]
    outputs = [tarfile.open(p, "w", format=tarfile.PAX_FORMAT) for p in paths]
    kernel = None
    boot = {}
    with tarfile.open(rootfs) as source:
        for member in source:
            name = clean(member.name)
            if match := re.match(r"usr/lib/modules/([^/]+)/modules\.dep$", name):
                kernel = match[1]
            if match := re.match(r"boot/(vmlinuz|initrd\.img)-", name):
                boot[match[1]] = source.extractfile(member).read()
                continue
            if name.startswith("boot/") or member.isdev() and name.startswith("dev/"):
                continue
            member.name = name or "."
            member.pax_headers = {k: v for k, v in member.pax_headers.items() if k not in ("path", "linkpath", "size")}
            if member.islnk():
                member.linkname = clean(member.linkname)
            where = layer_of(member.linkname if member.islnk() else name)
            outputs[where].addfile(member, source.extractfile(member) if member.isreg() else None)
    if "vmlinuz" not in boot or kernel is None:
        sys.exit(f"{rootfs}: no kernel in it")
    for name, data in (("vmlinuz", boot["vmlinuz"]), ("initramfs.img", boot.get("initrd.img", b"placeholder for an initramfs\n"))):
        member = tarfile.TarInfo(f"usr/lib/modules/{kernel}/{name}")
        member.size, member.mode = len(data), 0o644
        outputs[1].addfile(member, io.BytesIO(data))
    for output in outputs:
        output.close()
    return paths


def blob(layout, path):
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hash_file(file)
    os.rename(path, os.path.join(layout, "blobs/sha256", digest))
    return f"sha256:{digest}"


def hash_file(file):
    hasher = hashlib.sha256()
    while chunk := file.read(1 << 20):
        hasher.update(chunk)
    return hasher.hexdigest()


def blob_of(layout, data):
    path = os.path.join(layout, "blob.tmp")
    with open(path, "wb") as file:
        file.write(data)
    return {"digest": blob(layout, path), "size": len(data)}


def main():
    rootfs, layout, tag, compression, version = sys.argv[1:]
    os.makedirs(os.path.join(layout, "blobs/sha256"), exist_ok=True)
    layers, diff_ids = [], []
    for path in split(rootfs, layout):
        with open(path, "rb") as file:
            diff_ids.append("sha256:" + hash_file(file))
        command = ["gzip", "-n", "-6", "-f", path] if compression == "gzip" else ["zstd", "-q", "-3", "-f", "--rm", path]
        subprocess.run(command, check=True)
        compressed = path + (".gz" if compression == "gzip" else ".zst")
        size = os.path.getsize(compressed)
        layers.append({
            "mediaType": f"application/vnd.oci.image.layer.v1.tar+{compression}",
            "digest": blob(layout, compressed),
            "size": size,
        })
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    config = {
        "created": "2026-01-01T00:00:00Z",
        "architecture": machine,
        "os": "linux",
        "config": {"Labels": {"containers.bootc": "1", "org.opencontainers.image.version": version}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"layer {name}"} for name, _ in LAYERS],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob_of(layout, json.dumps(config).encode())},
        "layers": layers,
    }
    described = {"mediaType": manifest["mediaType"], **blob_of(layout, json.dumps(manifest).encode())}
    described["annotations"] = {"org.opencontainers.image.ref.name": tag}
    index_path = os.path.join(layout, "index.json")
    manifests = []
    if os.path.exists(index_path):
        with open(index_path) as file:
            manifests = [m for m in json.load(file)["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] != tag]
    with open(index_path, "w") as file:
        json.dump({"schemaVersion": 2, "manifests": manifests + [described]}, file)
    with open(os.path.join(layout, "oci-layout"), "w") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')


main()
