# What a developer types. `make test` and `make demo` need nothing set up before.

CARGO ?= cargo
target := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help build demo test check bench test-powercut test-vm image disk vm vm-shell install

help:
	@echo 'make build          the release binary, $(target)/release/reroot'
	@echo 'make demo           build, then deploy, upgrade, roll back and prune in a sandbox below $(target)/; no root'
	@echo 'make test           install what the tests need (as root on Debian) and run all of them'
	@echo 'make check          formatting, lints, documentation'
	@echo 'make bench          measure against podman, skopeo + umoci and ostree; needs root'
	@echo 'make install        the program, its units, manual pages and completions below $$DESTDIR$$PREFIX'
	@echo 'make image          the bootable image of the Containerfile, as an OCI layout below $(target)/machine; needs root'
	@echo 'make disk           install it to a disk image; KEYS=FILE lets the holders of these ssh keys in; needs root'
	@echo 'make vm             boot that disk in QEMU, with its console here; SSH=PORT leads to its ssh'
	@echo 'make vm-shell       boot the image without installing it: a new machine each time; needs root'
	@echo 'make test-vm        boot real systems in QEMU, all of them or SCENARIO=NAME; needs root'
	@echo 'make test-powercut  thousands of power cuts instead of hundreds; needs root'

build:
	$(CARGO) build --locked --release

demo:
	$(CARGO) build --locked
	sh fixtures/demo/demo.sh $(target)/debug/reroot $(target)/demo

test:
	tests/deps.sh
	tests/run.sh

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- --deny warnings
	$(CARGO) clippy --locked --no-default-features --features cli -- --deny warnings
	$(CARGO) clippy --locked --no-default-features -- --deny warnings
	RUSTDOCFLAGS='--deny warnings --allow rustdoc::private_intra_doc_links' $(CARGO) doc --locked --no-deps --document-private-items

bench: build
	tests/deps.sh bench
	python3 tests/bench/run.py

test-powercut:
	tests/deps.sh
	REROOT_POWERCUT_STATES=$(or $(STATES),3000) $(CARGO) test --locked --test powercut -- --nocapture

test-vm:
	tests/deps.sh
	$(CARGO) test --locked --test vm -- --include-ignored --nocapture $(SCENARIO)

# The Containerfile's image, from programs that are built here and a base system made from Debian's archive. With a
# registry at hand, `podman build .` makes the same one; docs/image-building.md.
machine := $(target)/machine
image:
	tests/deps.sh
	$(CARGO) build --locked --release --bin reroot
	$(CARGO) build --locked --profile initramfs --no-default-features --bin reroot-prepare-root
	install -D -t $(machine)/programs $(target)/release/reroot $(target)/initramfs/reroot-prepare-root
	layout=$$(tests/image/build.sh dracut $(machine)/programs) && ln -sfn "$$layout" $(machine)/image

disk: image
	rm -f $(machine)/disk.raw $(machine)/variables
	$(machine)/programs/reroot install to-disk --image oci:$(machine)/image:os --size 4G --bootloader systemd-boot \
		--karg console=ttyS0 --karg no_timer_check $(if $(KEYS),--root-ssh-authorized-keys '$(KEYS)') $(machine)/disk.raw

$(machine)/disk.raw:
	$(MAKE) disk

# The disk stays as the machine leaves it; `make disk` makes a new one.
vm: $(machine)/disk.raw
	tests/vm/qemu.sh --uefi $(machine)/variables --disk $(machine)/disk.raw --root-console \
		$(if $(SSH),--ssh $(SSH),--network)

vm-shell: image
	tests/image/direct-disk.sh $(machine)/programs/reroot oci:$(machine)/image:os $(machine)/direct
	tests/vm/qemu.sh --kernel $(machine)/direct/vmlinuz --initrd $(machine)/direct/initrd \
		--append "$$(cat $(machine)/direct/cmdline)" --disk $(machine)/direct/disk.raw --root-console --network

PREFIX ?= /usr
install: build
	install -D -m 0755 $(target)/release/reroot '$(DESTDIR)$(PREFIX)/bin/reroot'
	install -D -m 0644 -t '$(DESTDIR)$(PREFIX)/lib/systemd/system' systemd/system/*
	install -D -m 0755 -t '$(DESTDIR)$(PREFIX)/lib/systemd/system-generators' systemd/system-generators/*
	install -D -m 0644 -t '$(DESTDIR)$(PREFIX)/lib/systemd/system/emergency.service.d' systemd/emergency.service.d/*
	install -D -m 0644 -t '$(DESTDIR)$(PREFIX)/lib/systemd/system-preset' systemd/system-preset/*
	install -D -m 0644 -t '$(DESTDIR)$(PREFIX)/lib/systemd/system.conf.d' systemd/system.conf.d/*
	install -D -m 0644 -t '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d' systemd/tmpfiles.d/*
	install -D -m 0755 -t '$(DESTDIR)$(PREFIX)/lib/reroot' systemd/grow-root systemd/hold-boot
	install -d '$(DESTDIR)$(PREFIX)/share/man/man8' '$(DESTDIR)$(PREFIX)/share/bash-completion/completions'
	$(target)/release/reroot man --output '$(DESTDIR)$(PREFIX)/share/man/man8'
	$(target)/release/reroot completions bash > '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/reroot'
