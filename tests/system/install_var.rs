//! `--var-size`: a partition for `/var`.

use std::fs::File;

use reroot::fsx::{self, LoopDevice};

use crate::install::{Place, loader_layer, open_esp, partition, read, table};
use crate::support::image::{Image, Layer};
use crate::support::tools::{command, run};

#[test]
fn var_has_a_partition_that_only_the_installation_fills() {
    let Some(place) = Place::new("var_has_a_partition_that_only_the_installation_fills") else { return };
    let image =
        place.image(&Image::new().layer(loader_layer()).layer(Layer::new().file("var/lib/state", "x")));
    let keys = place.directory.path().join("keys");
    std::fs::write(&keys, "key\n").unwrap();
    let words = ["--image", &image, "--size", "1200M", "--root-ssh-authorized-keys", keys.to_str().unwrap()];
    let refused = place.install(&[&words[..], &["--var-size", "1M"]].concat());
    assert!(
        refused.stderr.contains("the partition of /var has 1048576 bytes; it needs at least"),
        "{refused:?}"
    );
    place.install(&[&words[..], &["--var-size", "200M"]].concat()).ok();
    let disk = place.disk();
    let table = table(&disk).unwrap();
    assert_eq!(table[2].partition_name.as_str(), "var");
    let var_type = gptman_type(&table, 2);
    assert_eq!(var_type, "4d21b016-b534-45c2-a9fb-5c16e091fd2d");
    let file = File::options().read(true).write(true).open(&disk).unwrap();
    let attach = |number| {
        let (start, length) = partition(&disk, &table, number);
        LoopDevice::attach(&file, start, length).unwrap()
    };
    let (var_device, root_device) = (attach(2), attach(3));
    let uuid = run(command("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(var_device.path()));
    let uuid = uuid.trim().to_owned();
    {
        let var = fsx::mount_detached(var_device.path(), "ext4").unwrap();
        assert_eq!(fsx::read_in_root(&var, b"lib/state", 10).unwrap().unwrap(), b"x");
        assert_eq!(fsx::read_in_root(&var, b"roothome/.ssh/authorized_keys", 10).unwrap().unwrap(), b"key\n");
    }
    let argument = format!("reroot.var=UUID={uuid}:ext4");
    let volume = open_esp(&place.esp(&table));
    let entry = String::from_utf8(read(&volume, "loader/entries/reroot-0000000001.conf")).unwrap();
    assert!(entry.contains(&format!(" {argument} reroot=/reroot/deploy/default/deploy/1")), "{entry}");

    // A later deployment: the same argument, and nothing where /var is mounted over.
    let point = place.directory.path().join("root");
    std::fs::create_dir(&point).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount(root_device.path(), &point, "ext4", flags, None).unwrap();
    std::fs::create_dir_all(point.join("boot/loader/entries")).unwrap();
    place.reroot.run(["deploy", "--sysroot", point.to_str().unwrap(), &image]).ok();
    let entry = std::fs::read_to_string(point.join("boot/loader/entries/reroot-0000000002.conf")).unwrap();
    assert!(entry.contains(&argument), "{entry}");
    assert!(!point.join("reroot/deploy/default/var").exists());
    place.reroot.run(["fsck", "--sysroot", point.to_str().unwrap()]).ok();
    rustix::mount::unmount(&point, rustix::mount::UnmountFlags::empty()).unwrap();
}

fn gptman_type(table: &gptman::GPT, number: u32) -> String {
    uuid::Uuid::from_bytes_le(table[number].partition_type_guid).to_string()
}
