# What a developer types. `make test` and `make demo` need nothing set up before.

CARGO ?= cargo
target := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help build demo test check bench test-powercut test-vm install

help:
	@echo 'make build          the release binary, $(target)/release/reroot'
	@echo 'make demo           build, then deploy, upgrade, roll back and prune in a sandbox below $(target)/; no root'
	@echo 'make test           install what the tests need (as root on Debian) and run all of them'
	@echo 'make check          formatting, lints, documentation'
	@echo 'make bench          measure against podman, skopeo + umoci and ostree; needs root'
	@echo 'make install        the program, manual pages and completions below $$DESTDIR$$PREFIX'
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

PREFIX ?= /usr
install: build
	install -D -m 0755 $(target)/release/reroot '$(DESTDIR)$(PREFIX)/bin/reroot'
	install -d '$(DESTDIR)$(PREFIX)/share/man/man8' '$(DESTDIR)$(PREFIX)/share/bash-completion/completions'
	$(target)/release/reroot man --output '$(DESTDIR)$(PREFIX)/share/man/man8'
	$(target)/release/reroot completions bash > '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/reroot'
