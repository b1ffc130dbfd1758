//! For each lint: what passes, though it looks like it, and what does not.

use super::EPOCH;
use crate::container::testing::Files;
use crate::packages::rpm_testing::{Rpm, ndb, sqlite};

pub(super) struct Case {
    pub lint: &'static str,
    pub passes: fn(Files) -> Files,
    pub fails: fn(Files) -> Files,
    /// `path: message`, in order.
    pub finds: &'static [&'static str],
}

const KERNEL: &str = "usr/lib/modules/6.1.0-test";

/// An archive (cpio, newc) of one empty file.
fn initramfs(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in [name, "TRAILER!!!"] {
        bytes.extend_from_slice(b"070701");
        for field in [1, 0o100_755, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() + 1, 0] {
            bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// A root about which no lint says anything.
pub(super) fn clean() -> Files {
    let units = [
        "reroot-finalize-staged.service",
        "reroot-finalize-staged-hold.path",
        "reroot-boot-complete.service",
        "reroot-boot-deadline.timer",
        "reroot-status-updated.path",
    ];
    let directories =
        ["dev", "proc", "sys", "run", "tmp", "var", "sysroot", "boot", "efi", "etc", "var/lib/dbus"];
    let root = directories.iter().fold(Files::default(), |root, path| root.dir(path));
    let root = units.iter().fold(root, |root, unit| {
        root.file(format!("usr/lib/systemd/system/{unit}"), "[Unit]\n").link(
            &format!("etc/systemd/system/x.target.wants/{unit}"),
            &format!("/usr/lib/systemd/system/{unit}"),
        )
    });
    root.file(format!("{KERNEL}/vmlinuz"), "kernel")
        .file(format!("{KERNEL}/initramfs.img"), initramfs("usr/lib/reroot/reroot-prepare-root"))
        .file("usr/bin/reroot", "program")
        .file("usr/bin/su", "program")
        .mode("usr/bin/su", 0o4755)
        .link("home", "var/home")
        .link("root", "var/roothome")
        .link("usr/local", "../var/usrlocal")
        .link("var/run", "../run")
        .file(
            "usr/lib/tmpfiles.d/test.conf",
            "d /var/lib/dbus 0755 - - -\nd /var/log\nd /var/tmp\nd /var/cache\nd /var/home\n",
        )
        .file("usr/lib/sysusers.d/test.conf", "u daemon 1\n")
        .file("etc/passwd", "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/usr/sbin/nologin\n")
        .file("etc/group", "root:x:0:\ndaemon:x:1:\n")
        .file("etc/shadow", "root:*:1::::::\ndaemon:!*:1::::::\nlocked:!:1::::::\n")
        .file("etc/hosts", "127.0.0.1 localhost\n")
        .file("usr/lib/sysimage/dpkg/status", "Package: dash\nVersion: 1\n")
}

pub(super) const CASES: &[Case] = &[
    Case {
        lint: "kernel",
        passes: |root| root.file("usr/lib/modules/old/modules.dep", "x"),
        fails: |root| {
            root.file("usr/lib/modules/other/vmlinuz", "x").file("usr/lib/modules/other/initramfs.img", "x")
        },
        finds: &["it has 2 kernels (6.1.0-test, other); leave one"],
    },
    Case {
        lint: "initramfs",
        passes: |root| root.file(format!("{KERNEL}/initramfs.img"), initramfs("bin/reroot-prepare-root")),
        fails: |root| root.file(format!("{KERNEL}/initramfs.img"), initramfs("bin/ostree-prepare-root")),
        finds: &["/usr/lib/modules/6.1.0-test/initramfs.img: it has no reroot-prepare-root"],
    },
    Case {
        lint: "kernel-arguments",
        passes: |root| {
            root.file("usr/lib/reroot/kargs.d/10-a.toml", "kargs = ['quiet']\n")
                .file("usr/lib/bootc/kargs.d/README", "what")
        },
        fails: |root| {
            root.file("usr/lib/bootc/kargs.d/10-a.toml", "\nkarg = ['quiet']\n")
                .file("etc/reroot/kargs.d/30-c.toml", "kargs = ['reroot=x']\n")
        },
        finds: &[
            "/usr/lib/bootc/kargs.d/10-a.toml: usr/lib/bootc/kargs.d/10-a.toml:2: unknown field `karg`, expected `kargs` or `match-architectures`",
            "/etc/reroot/kargs.d/30-c.toml: etc/reroot/kargs.d/30-c.toml:1: `reroot=x`: `reroot` is set by reroot itself",
        ],
    },
    Case {
        lint: "api-directories",
        passes: |root| root.mode("tmp", 0o1777),
        fails: |root| root.without("sys").without("dev").link("dev", "run"),
        finds: &["/dev: it is not a directory", "/sys: it is missing"],
    },
    Case {
        lint: "mount-points",
        passes: |root| root.without("efi"),
        fails: |root| {
            root.without("sysroot").without("efi").file("usr/lib/systemd/boot/efi/systemd-bootx64.efi", "MZ")
        },
        finds: &["/sysroot: it is missing", "/efi: it is missing"],
    },
    Case {
        lint: "etc",
        passes: |root| root.file("usr/etc2/x", "x"),
        fails: |root| root.file("usr/etc/x", "x"),
        finds: &["/usr/etc: it is there beside /etc"],
    },
    Case {
        lint: "units",
        passes: |root| {
            root.without("etc/systemd/system/x.target.wants/reroot-boot-deadline.timer").link(
                "usr/lib/systemd/system/timers.target.wants/reroot-boot-deadline.timer",
                "../reroot-boot-deadline.timer",
            )
        },
        fails: |root| {
            root.link("etc/systemd/system/reroot-finalize-staged.service", "/dev/null")
                .without("usr/lib/systemd/system/reroot-boot-complete.service")
                .without("etc/systemd/system/x.target.wants/reroot-boot-deadline.timer")
        },
        finds: &[
            "reroot-finalize-staged.service is masked",
            "reroot-boot-complete.service is not in /usr/lib/systemd/system",
            "reroot-boot-deadline.timer is not enabled",
        ],
    },
    Case {
        lint: "machine-id",
        passes: |root| {
            root.file("etc/machine-id", "uninitialized\n")
                .link("var/lib/dbus/machine-id", "/etc/machine-id")
                .file("usr/lib/tmpfiles.d/dbus.conf", "L /var/lib/dbus/machine-id")
        },
        fails: |root| root.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        finds: &["/etc/machine-id: it has an id, which all machines would have"],
    },
    Case {
        lint: "host-keys",
        passes: |root| {
            root.file("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa").file("etc/ssh/ssh_host_dsa_key", "")
        },
        fails: |root| root.file("etc/ssh/keys/ssh_host_rsa_key", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        finds: &["/etc/ssh/keys/ssh_host_rsa_key: it is the private key of a machine"],
    },
    Case {
        lint: "private-keys",
        passes: |root| {
            root.file("usr/share/doc/key.pem", "-----BEGIN PRIVATE KEY-----\n")
                .file("etc/ssl/a.pem", "-----BEGIN CERTIFICATE-----\n")
        },
        fails: |root| {
            root.file(
                "etc/ssl/a.pem",
                format!(
                    "-----BEGIN CERTIFICATE-----\n{}\n-----BEGIN RSA PRIVATE KEY-----\n",
                    "x".repeat(5000)
                ),
            )
        },
        finds: &["/etc/ssl/a.pem: it has a private key"],
    },
    Case {
        lint: "passwords",
        passes: |root| root.file("etc/shadow", "root:!!:1\na:*:1\nb:!*:1\n"),
        fails: |root| {
            root.file("etc/shadow", "root::1::::::\na:$y$j9T$x:1\nb:!$6$x:1\nc:*:1\n")
                .file("etc/shadow-", "old:$6$x:1\n")
                .file("etc/passwd", "root::0:0::/:\n")
        },
        finds: &[
            "/etc/passwd: root needs no password",
            "/etc/shadow: root needs no password",
            "/etc/shadow: a has a password",
            "/etc/shadow: b has a password",
            "/etc/shadow-: old has a password",
        ],
    },
    Case {
        lint: "credentials",
        passes: |root| root.file("usr/share/skel/.netrc", "x").file("etc/containers/policy.json", "{}"),
        fails: |root| {
            root.file("var/home/me/.docker/config.json", "{}")
                .file("etc/containers/auth.json", "{}")
                .file("usr/lib/tmpfiles.d/home.conf", "C /var/home\n")
        },
        finds: &[
            "/var/home/me/.docker/config.json: it is somebody's",
            "/etc/containers/auth.json: it is a credential",
        ],
    },
    Case {
        lint: "etc-merge",
        passes: |root| root.file("etc/new/file", "x"),
        fails: |root| {
            root.fifo("etc/pipe")
                .without("etc/hosts")
                .file("etc/hosts/a", "x")
                .without("etc/systemd")
                .file("etc/systemd", "x")
                .without("usr/bin/reroot")
                .file("usr/bin/reroot", "x")
                .link("usr/lib/systemd/system/a.wants/reroot-finalize-staged.service", "x")
                .link("usr/lib/systemd/system/a.wants/reroot-finalize-staged-hold.path", "x")
                .link("usr/lib/systemd/system/a.wants/reroot-boot-complete.service", "x")
                .link("usr/lib/systemd/system/a.wants/reroot-boot-deadline.timer", "x")
                .link("usr/lib/systemd/system/a.wants/reroot-status-updated.path", "x")
        },
        finds: &[
            "/etc/hosts: it is a directory, and was none in the base",
            "/etc/pipe: it is a pipe or a device",
            "/etc/systemd: it was a directory in the base",
        ],
    },
    Case {
        lint: "var-run",
        passes: |root| root.without("var/run").link("var/run", "/run"),
        fails: |root| root.without("var/run").dir("var/run"),
        finds: &["/var/run: it is not a link to /run"],
    },
    Case {
        lint: "writable-directories",
        passes: |root| root.link("srv", "var/srv"),
        fails: |root| root.without("home").dir("home").link("srv", "usr/srv").dir("opt"),
        finds: &["/home: it is a part of the read-only root", "/srv: it does not lead into /var"],
    },
    Case {
        lint: "var-tmpfiles",
        passes: |root| root.file("var/lib/a/b", "x").file("etc/tmpfiles.d/a.conf", "C /var/lib/a\n"),
        fails: |root| root.file("var/lib/a/b", "x").file("var/lib/a/c", "x").link("var/games", "lib/games"),
        finds: &["/var/games: no file of tmpfiles.d makes it", "/var/lib/a: no file of tmpfiles.d makes it"],
    },
    Case {
        lint: "var-log",
        passes: |root| {
            root.dir("var/log/journal")
                .file("var/log/wtmp", "")
                .file("usr/lib/tmpfiles.d/journal.conf", "d %L/journal\n")
        },
        fails: |root| {
            root.file("var/log/apt/history.log", "text")
                .file("usr/lib/tmpfiles.d/apt.conf", "d /var/log/apt\n")
        },
        finds: &["/var/log/apt/history.log: it has 4 bytes"],
    },
    Case {
        lint: "sysusers",
        passes: |root| {
            root.file("etc/passwd", "root:x:0\na:x:5\n")
                .file("usr/share/base-passwd/passwd.master", "a:*:5\n")
        },
        fails: |root| {
            root.file("etc/passwd", "root:x:0\ndaemon:x:1\nnew:x:999\n").file("etc/group", "new:x:999:\n")
        },
        finds: &[
            "/etc/passwd: the user new is in no file of sysusers.d",
            "/etc/group: the group new is in no file of sysusers.d",
        ],
    },
    Case {
        lint: "boot",
        passes: |root| root.file("boot/EFI/Linux/6.1.efi", "MZ"),
        fails: |root| root.file("boot/vmlinuz-6.1", "x").file("boot/grub2/grub.cfg", "x"),
        finds: &["/boot/grub2: nobody will see it", "/boot/vmlinuz-6.1: nobody will see it"],
    },
    Case {
        lint: "run-tmp",
        passes: |root| root.dir("var/tmp").dir("run/lock/x"),
        fails: |root| root.file("run/lock/x", "").file("tmp/x/y", "x"),
        finds: &["/run/lock: nobody will see it", "/tmp/x: nobody will see it"],
    },
    Case {
        lint: "builder-files",
        passes: |root| root.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
        fails: |root| root.file("etc/resolv.conf", "").file("etc/hostname", "").file(".dockerenv", ""),
        finds: &[
            "/etc/hostname: it is empty",
            "/etc/resolv.conf: it is empty",
            "/.dockerenv: programs would take the machine for a container",
        ],
    },
    Case {
        lint: "caches",
        passes: |root| root.dir("var/cache/apt").file("usr/lib/tmpfiles.d/apt.conf", "d /var/cache/apt\n"),
        fails: |root| {
            root.file("var/cache/apt/pkgcache.bin", "text")
                .file("usr/lib/tmpfiles.d/apt.conf", "C /var/cache/apt\n")
        },
        finds: &["/var/cache/apt: it has 4 bytes"],
    },
    Case {
        lint: "packages",
        passes: |root| {
            let database = sqlite(&[Rpm::new("bash", "5.2", "1").header()], 4096);
            root.without("usr/lib/sysimage").file("usr/share/rpm/rpmdb.sqlite", database)
        },
        fails: |root| root.without("usr/lib/sysimage").file("usr/lib/apk/db/installed", ""),
        finds: &["there is no package in a database of dpkg, apk or rpm"],
    },
    Case {
        lint: "packages",
        passes: |root| root.file("usr/lib/sysimage/rpm/Index.db", "x"),
        fails: |root| root.file("usr/lib/sysimage/rpm/Packages", "x"),
        finds: &["the rpm database /usr/lib/sysimage/rpm/Packages is a Berkeley DB, which is not read"],
    },
    Case {
        lint: "packages",
        passes: |root| root.file("usr/share/rpm/Packages.db", ndb(&[])),
        fails: |root| root.file("usr/share/rpm/Packages.db", &ndb(&[])[..100]),
        finds: &["it could not be looked for: reading /usr/share/rpm/Packages.db: the header: it is cut off"],
    },
    Case {
        lint: "packages",
        passes: |root| root.file("lib/apk/db/installed", "P:musl\nV:1\n\n"),
        fails: |root| root.file("usr/lib/sysimage/dpkg/status", "what"),
        finds: &["it could not be looked for: reading /usr/lib/sysimage/dpkg/status: line 1: not a field"],
    },
    Case {
        lint: "names",
        passes: |root| root.file("usr/share/größe", "x"),
        fails: |root| root.file(b"usr/share/gr\xf6\xdfe", "x").file("usr/share/a\nb", "x"),
        finds: &[
            "/usr/share/a\\nb: its name has control characters",
            "/usr/share/gr\\xf6\\xdfe: its name is not UTF-8",
        ],
    },
    Case {
        lint: "quadlet",
        passes: |root| {
            root.file(
                "usr/share/containers/systemd/web.container",
                "[Container]\nImage=web.image\nVolume=data.volume:/data\n",
            )
            .file("usr/share/containers/systemd/web.image", "[Image]\nImage=quay.io/acme/web:1\n")
            .file("etc/containers/systemd/data.volume", "[Volume]\n")
        },
        fails: |root| {
            root.file("usr/share/containers/systemd/a.container", "[Container]\nExec=true\n")
                .file(
                    "usr/share/containers/systemd/b.container",
                    "[Container]\nImage=b.image\nVolume=c.volume:/data\n",
                )
                .file("usr/share/containers/systemd/c.network", "what\n")
        },
        finds: &[
            "/usr/share/containers/systemd/a.container: [Container] has no Image= and no Rootfs=",
            "/usr/share/containers/systemd/b.container: line 2: Image=b.image: there is no such file",
            "/usr/share/containers/systemd/b.container: line 3: Volume=c.volume: there is no such file",
            "/usr/share/containers/systemd/c.network: line 1: it is neither a section nor a setting",
        ],
    },
    Case {
        lint: "quadlet-keys",
        passes: |root| {
            root.file(
                "usr/share/containers/systemd/web.container",
                "[Unit]\nAnything=x\n[Container]\nImage=quay.io/acme/web:1\nPublishPort=80:80\n[Service]\nRestart=always\n",
            )
            .file("usr/share/containers/systemd/web.container.d/10-more.conf", "[Container]\nVolume=/srv:/srv\n")
            .file("usr/share/containers/systemd/README", "[Container]\nanything=x\n")
        },
        fails: |root| {
            root.file(
                "usr/share/containers/systemd/web.container",
                "[Container]\nImage=quay.io/acme/web:1\npublishport=80:80\nPorts=80\n",
            )
            .file("etc/containers/systemd/web.container.d/10-more.conf", "[Container]\nVolumes=/srv:/srv\n")
        },
        finds: &[
            "/usr/share/containers/systemd/web.container: line 3: podman knows no publishport= in [Container]; there is PublishPort=",
            "/usr/share/containers/systemd/web.container: line 4: podman knows no Ports= in [Container]",
            "/etc/containers/systemd/web.container.d/10-more.conf: line 2: podman knows no Volumes= in [Container]; there is Volume=",
        ],
    },
    Case {
        lint: "setuid",
        passes: |root| root.dir("usr/share/group").mode("usr/share/group", 0o2775),
        fails: |root| {
            root.mode("usr/bin/su", 0o6755)
                .file("usr/bin/ping", "x")
                .xattr("usr/bin/ping", "security.capability")
                .xattr("usr/bin/reroot", "user.test")
        },
        finds: &["/usr/bin/ping: it is with capabilities", "/usr/bin/su: it is setuid 0, setgid 0"],
    },
    Case {
        lint: "timestamps",
        passes: |root| root.mtime("usr/bin/su", EPOCH),
        fails: |root| root.mtime("usr/bin/su", EPOCH + 7),
        finds: &["/usr/bin/su: it is newer by 7 seconds"],
    },
];
