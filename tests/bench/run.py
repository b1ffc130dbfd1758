#!/usr/bin/env python3
"""Measures reroot against podman, skopeo + umoci and ostree, in turn, on the same registry and images.

Writes docs/development/benchmarks.md. Run as root by `make bench`. Images are built once and kept in target/bench.
Nothing is deleted within a round, because ext4 is slow to reuse the inodes of a large deletion; after a round everything
is, and the next one waits until that is forgotten. A round needs about 14 GB.

BENCH_RUNS=N      counted runs of each job (default 3)
BENCH_ROOTFS=DIR  directory with v1.tar and v2.tar to use instead of building them
"""
import json, os, platform, re, resource, signal, socket, statistics, subprocess, sys, time, urllib.request

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
WORK = os.path.join(TOP, "target/bench")
REROOT = os.path.join(TOP, "target/release/reroot")
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
PACKAGES = ("linux-image-cloud-amd64,systemd,systemd-sysv,udev,dbus,openssh-server,podman,vim,git,python3,ansible,"
            "postgresql,nginx,zstd,xz-utils,less,curl,ca-certificates,iproute2,e2fsprogs,python3-pip,gcc")


class Measured:
    """What a command cost: wall and CPU seconds, and the peak memory of its largest process in MiB."""

    def __init__(self, wall, cpu, rss):
        self.wall, self.cpu, self.rss = wall, cpu, rss


def measure(*steps):
    """Runs commands one after another as one job. wait4 counts the descendants that were waited for."""
    wall = cpu = rss = 0.0
    for step in steps:
        with open(os.path.join(WORK, "log"), "ab") as log:
            log.write(f"\n$ {' '.join(step)}\n".encode())
            log.flush()
            start = time.monotonic()
            process = subprocess.Popen(step, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            wall += time.monotonic() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"failed with {process.returncode}: {' '.join(step)}; see {WORK}/log")
        cpu += usage.ru_utime + usage.ru_stime
        rss = max(rss, usage.ru_maxrss / 1024)
    return Measured(wall, cpu, rss)


def run(*command, **more):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **more)


def mirrors():
    """The package sources of this machine, for trixie."""
    found = []
    folder = "/etc/apt/sources.list.d"
    for name in sorted(os.listdir(folder)):
        if name.endswith(".sources"):
            with open(os.path.join(folder, name)) as file:
                found += re.findall(r"^URIs:\s*(\S+)", file.read(), re.M)
    if os.path.exists("/etc/apt/sources.list"):
        with open("/etc/apt/sources.list") as file:
            found += re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)", file.read(), re.M)
    debian = [u for u in found if re.search(r"/debian/?$", u)]
    security = [u for u in found if re.search(r"/debian-security/?$", u)]
    if not debian:
        sys.exit("no Debian mirror in apt's configuration")
    return debian[0], (security or [None])[0]


def build_images():
    debian, security = mirrors() if "BENCH_ROOTFS" not in os.environ else (None, None)
    rootfs = os.environ.get("BENCH_ROOTFS", WORK)
    sources = {"v1": [f"deb {debian} trixie main"]}
    sources["v2"] = sources["v1"] + [f"deb {debian} trixie-updates main"]
    if security:
        sources["v2"].append(f"deb {security} trixie-security main")
    for version in ("v1", "v2"):
        tar = os.path.join(rootfs, version + ".tar")
        if not os.path.exists(tar):
            run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
                '--aptopt=Apt::Install-Recommends "false"', "--dpkgopt=path-exclude=/usr/share/doc/*",
                "trixie", tar + ".tmp", *sources[version])
            os.rename(tar + ".tmp", tar)
        for compression in ("gzip", "zstd"):
            layout = os.path.join(WORK, compression)
            done = os.path.join(layout, version + ".done")
            if not os.path.exists(done):
                run(sys.executable, os.path.join(TOP, "tests/bench/image.py"), tar, layout, version, compression, version)
                open(done, "w").close()
        plain = os.path.join(WORK, version + "-ostree.tar")
        if not os.path.exists(plain):
            flatten(tar, plain)


def flatten(source, target):
    """A tar that `ostree commit` takes: no devices, /etc as /usr/etc."""
    import tarfile
    with tarfile.open(source) as old, tarfile.open(target + ".tmp", "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            if member.isdev():
                continue
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    os.rename(target + ".tmp", target)


class Registry:
    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = os.path.join(WORK, "registry.yml")
        with open(config, "w") as file:
            file.write(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {WORK}/registry}}}}\n"
                       f'http: {{addr: "127.0.0.1:{self.port}"}}\nlog: {{level: error, accesslog: {{disabled: true}}}}\n')
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/").close()
                break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit("docker-registry did not start")
        for compression in ("gzip", "zstd"):
            for version in ("v1", "v2"):
                run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{WORK}/{compression}:{version}",
                    f"docker://{self.name(compression, version)}")
        return self

    def name(self, compression, version):
        return f"127.0.0.1:{self.port}/os-{compression}:{version}"

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Places:
    """Fresh directories; what was used is moved aside."""

    def __init__(self):
        self.count = 0
        self.aside = os.path.join(WORK, f"aside-{os.getpid()}")
        os.makedirs(self.aside)

    def clear(self):
        """Deletes what was used, and waits: ext4 passes over the inodes for up to 35 s, and looks at each."""
        for line in reversed(open("/proc/self/mountinfo").read().splitlines()):
            if line.split()[4].startswith(self.aside):
                run("umount", line.split()[4])
        run("rm", "-rf", self.aside)
        os.sync()
        time.sleep(60)
        os.makedirs(self.aside)

    def new(self):
        self.count += 1
        path = os.path.join(self.aside, str(self.count))
        os.makedirs(path)
        return path


def podman(root, *arguments):
    return ["podman", "--root", f"{root}/root", "--runroot", f"{root}/run", "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", *arguments]


def reroot(root, *arguments):
    return [REROOT, "--sysroot", root, "--quiet", *arguments]


def settle():
    """Nothing of one command is left to write while the next is measured."""
    os.sync()


def forget():
    """Everything that is read next comes from the disk."""
    settle()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def one_round(registry, places, results):
    def keep(job, who, measured):
        results.setdefault((job, who), []).append(measured)
        print(f"  {job:42} {who:16} {measured.wall:6.2f} s  cpu {measured.cpu:6.2f} s  {measured.rss:5.0f} MiB", flush=True)

    stores = {}
    for compression in ("gzip", "zstd"):
        image = {v: registry.name(compression, v) for v in ("v1", "v2")}
        store, rival = places.new(), places.new()
        run(*reroot(store, "init"), stdout=subprocess.DEVNULL)
        settle()
        keep(f"cold pull to a deployment, {compression}", "reroot", measure(reroot(store, "deploy", image["v1"])))
        settle()
        keep(f"cold pull to a deployment, {compression}", "podman pull", measure(podman(rival, "pull", "-q", "--tls-verify=false", image["v1"])))
        settle()
        keep(f"update, {compression}", "reroot", measure(reroot(store, "image", "pull", image["v2"])))
        settle()
        keep(f"update, {compression}", "podman pull", measure(podman(rival, "pull", "-q", "--tls-verify=false", image["v2"])))
        settle()
        stores[compression] = store
    store = stores["gzip"]
    image = {v: registry.name("gzip", v) for v in ("v1", "v2")}

    layout, bundle = places.new(), places.new()
    keep("cold pull to a deployment, gzip", "skopeo + umoci", measure(
        ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{image['v1']}", f"oci:{layout}/layout:v1"],
        ["umoci", "unpack", "--image", f"{layout}/layout:v1", f"{bundle}/bundle"]))

    other = places.new()
    run("ostree", f"--repo={other}/repo", "init", "--mode=bare", stdout=subprocess.DEVNULL)
    settle()
    for version in ("v1", "v2"):
        keep(f"store {version} from a tar", "ostree commit", measure(
            ["ostree", f"--repo={other}/repo", "commit", "-b", version, "--tar-autocreate-parents", f"--tree=tar={WORK}/{version}-ostree.tar"]))
    settle()
    keep("checkout of a stored image", "reroot", measure(reroot(store, "image", "checkout", image["v2"], f"{store}/checkout")))
    settle()
    keep("checkout of a stored image", "ostree checkout", measure(["ostree", f"--repo={other}/repo", "checkout", "-H", "v2", f"{other}/checkout"]))
    checks = {"reroot": reroot(store, "fsck"), "ostree fsck": ["ostree", f"--repo={other}/repo", "fsck", "--quiet"]}
    for who, command in checks.items():
        forget()
        keep("fsck, nothing cached", who, measure(command))
        keep("fsck", who, measure(command))

    install(keep, places)
    building(keep, places, f"{WORK}/gzip", f"{store}/checkout")

    # What is left of the first release goes: its deployment on one side, its ref on the other.
    run(*reroot(store, "undeploy", "1"), stdout=subprocess.DEVNULL)
    run("ostree", f"--repo={other}/repo", "refs", "--delete", "v1")
    settle()
    keep("prune after removing a deployment", "reroot", measure(reroot(store, "prune")))
    keep("prune after removing a deployment", "ostree prune", measure(["ostree", f"--repo={other}/repo", "prune", "--refs-only"]))
    return store


def install(keep, places):
    """A raw disk from layers that are here, against the same layers unpacked into a file system in a raw file."""
    job, ours, theirs = "install to a raw disk, gzip", places.new(), places.new()
    with open(os.path.join(WORK, "gzip/index.json")) as file:
        manifest = next(m for m in json.load(file)["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == "v1")
    with open(blob(manifest)) as file:
        layers = " ".join(blob(layer) for layer in json.load(file)["layers"])
    settle()
    keep(job, "reroot", measure([REROOT, "--quiet", "install", "to-disk", "--image", f"oci:{WORK}/gzip:v1", "--size", "6G",
                                 "--bootloader", "none", "--allow-foreign-initramfs", f"{ours}/disk.raw"]))
    settle()
    keep(job, "mkfs + tar", measure(["sh", "-ec", f"""
        truncate -s 6G {theirs}/disk.raw
        mkfs.ext4 -q -F {theirs}/disk.raw
        mkdir {theirs}/root
        mount -o loop {theirs}/disk.raw {theirs}/root
        for layer in {layers}; do tar -C {theirs}/root --xattrs --xattrs-include='*' --numeric-owner -xzpf $layer; done
        umount {theirs}/root
        sync {theirs}/disk.raw"""]))
    for place in (ours, theirs):
        os.unlink(f"{place}/disk.raw")


def building(keep, places, layout, root):
    """What those who build images wait for, against `find -printf` over the same tree: the least that a look at it costs."""
    known, out = places.new(), places.new()
    ours = [REROOT, "--quiet", "container"]
    stored = ["--store", known]
    v1, v2 = f"oci:{layout}:v1", f"oci:{layout}:v2"
    look = ["find", root, "-printf", r"%p %s %m %U %G %T@\n"]
    # The image is not one of ours: what lint says of it is not the question.
    lint = ["sh", "-c", '"$@"; [ $? -le 1 ]', "sh", *ours, "lint", root]
    measure(lint)
    keep("lint of an unpacked root", "reroot", measure(lint))
    keep("lint of an unpacked root", "find -printf", measure(look))
    run(*ours, "diff", v1, v2, *stored, stdout=subprocess.DEVNULL)
    keep("container diff of known images", "reroot", measure([*ours, "diff", v1, v2, *stored]))
    keep("container diff of known images", "find -printf", measure(look))
    for compression in ("gzip", "zstd", "zstd:chunked"):
        settle()
        keep(f"rechunk, {compression}", "reroot", measure([*ours, "rechunk", v2, "-o", f"oci:{out}/{compression}", "--compression", compression, *stored]))


def blob(descriptor):
    return os.path.join(WORK, "gzip/blobs", descriptor["digest"].replace(":", "/"))


def status_time(registry, places):
    """status on ten deployments, median of 20 runs, in milliseconds."""
    store = places.new()
    run(*reroot(store, "init"), stdout=subprocess.DEVNULL)
    for index in range(10):
        run(*reroot(store, "deploy", registry.name("gzip", "v1" if index % 2 else "v2")), stdout=subprocess.DEVNULL)
    return statistics.median(measure(reroot(store, "status")).wall for _ in range(20)) * 1000


TARGETS = [
    ("cold pull to a deployment, gzip", "podman pull", "wall", 0.40),
    ("cold pull to a deployment, zstd", "podman pull", "wall", 0.40),
    ("update, gzip", "podman pull", "wall", 0.35),
    ("checkout of a stored image", "ostree checkout", "wall", 0.7),
    ("fsck", "ostree fsck", "wall", 0.25),
    ("fsck, nothing cached", "ostree fsck", "wall", 0.25),
    ("prune after removing a deployment", "ostree prune", "wall", 0.6),
    ("install to a raw disk, gzip", "mkfs + tar", "wall", 1.5),
    # In seconds: at most 2 and 1 for an image of 8,000 files, for which find needs 0.03.
    ("lint of an unpacked root", "find -printf", "wall", 10.0),
    ("container diff of known images", "find -printf", "wall", 10.0),
    ("cold pull to a deployment, gzip", "podman pull", "cpu", 0.5),
]


def version_of(*command):
    text = subprocess.run(command, capture_output=True, text=True).stdout + ""
    return next((line.strip().removeprefix("Version: ").strip("'") for line in text.splitlines() if re.search(r"\d\.\d", line)), "unknown")


def report(results, status, size):
    def median(job, who, what):
        return statistics.median(getattr(m, what) for m in results[job, who])

    lines = ["# Benchmarks", "", "Made by `make bench` (tests/bench/run.py). Ratios hold on other machines better than seconds do.", ""]
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines += [
        f"Machine: {os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory:.0f} GiB, kernel {platform.release()}.",
        f"Image: Debian trixie, {size['files']:,} files with {size['bytes'] / 1e6:,.0f} MB, 6 layers; v2 is the same built again with updates, "
        "every layer's digest changed.",
        "Registry: Debian's docker-registry on loopback, on the same cores. Medians of "
        f"{RUNS} runs, the tools in turn. reroot's figures include that everything is on disk when it ends; podman returns before.",
        "", "Versions: " + "; ".join([
            version_of(REROOT, "--version"), version_of("podman", "--version"), version_of("skopeo", "--version"),
            version_of("umoci", "--version"), "ostree " + version_of("ostree", "--version")]) + ".",
        "", "## Ratios", "", "| job | against | figure | ratio | at most |", "|---|---|---|---|---|"]
    for job, rival, what, limit in TARGETS:
        ratio = median(job, "reroot", what) / median(job, rival, what)
        mark = "" if ratio <= limit else " (missed)"
        lines.append(f"| {job} | {rival} | {what} | {ratio:.2f}{mark} | {limit:.2f} |")
    peak = max(m.rss for (_, who), all_runs in results.items() if who == "reroot" for m in all_runs)
    lines += ["", f"Peak memory of any reroot command: {peak:.0f} MiB. `status` on ten deployments: {status:.1f} ms.",
              "", "## Figures", "", "| job | tool | wall s (min-max) | CPU s | peak MiB |", "|---|---|---|---|---|"]
    for (job, who), all_runs in sorted(results.items()):
        walls = [m.wall for m in all_runs]
        lines.append(f"| {job} | {who} | {statistics.median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f}) | "
                     f"{median(job, who, 'cpu'):.2f} | {max(m.rss for m in all_runs):.0f} |")
    notes = os.path.join(TOP, "tests/bench/notes.md")
    if os.path.exists(notes):
        with open(notes) as file:
            lines += ["", file.read().rstrip()]
    path = os.path.join(TOP, "docs/development/benchmarks.md")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    if os.geteuid() != 0:
        sys.exit("make bench needs root: it compares with tools that unpack as root")
    os.makedirs(WORK, exist_ok=True)
    open(os.path.join(WORK, "log"), "w").close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    os.environ["REROOT_CONFIG_ROOT"] = os.path.join(WORK, "config")
    os.makedirs(os.environ["REROOT_CONFIG_ROOT"], exist_ok=True)
    build_images()
    results, places = {}, Places()
    with Registry() as registry:
        for index in range(RUNS):
            print(f"round {index + 1} of {RUNS}", flush=True)
            store = one_round(registry, places, results)
            if index + 1 < RUNS:
                places.clear()
        fsck = json.loads(subprocess.run(reroot(store, "fsck", "--json"), capture_output=True, text=True).stdout)["store"]
        status = status_time(registry, places)
    run("rm", "-rf", places.aside)
    report(results, status, {"files": fsck["objects"], "bytes": fsck["objectBytes"]})


main()
