# What people type. `make demo` and `make test` do all the set-up they need.

CARGO ?= cargo

.PHONY: help build demo test test-powercut check bench install clean

help:
	@echo 'make demo            build, and show what reroot does in a sandbox (no root, no network)'
	@echo 'make test            install what the tests need (as root on Debian) and run them all'
	@echo 'make test-powercut   thousands of replayed power cuts; prints the count'
	@echo 'make check           formatting, lints, documentation'
	@echo 'make bench           measure against podman, skopeo+umoci and ostree; writes docs/development/benchmarks.md'
	@echo 'make install         install the program, manual pages and completions below $$DESTDIR$$PREFIX'

build:
	$(CARGO) build --release --locked

demo:
	$(CARGO) build --locked
	sh fixtures/demo/demo.sh target/debug/reroot target/demo

test:
	sh tests/run.sh --locked

test-powercut:
	sh tests/deps.sh
	REROOT_POWERCUT_STATES=$${REROOT_POWERCUT_STATES:-3000} $(CARGO) test --locked --test powercut -- --nocapture

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items

bench: build
	sh tests/deps.sh bench
	python3 tests/bench/run.py

PREFIX ?= /usr
install: build
	install -D -m 0755 target/release/reroot '$(DESTDIR)$(PREFIX)/bin/reroot'
	install -d '$(DESTDIR)$(PREFIX)/share/man/man1' '$(DESTDIR)$(PREFIX)/share/bash-completion/completions'
	target/release/reroot man --output '$(DESTDIR)$(PREFIX)/share/man/man1'
	target/release/reroot completions bash >'$(DESTDIR)$(PREFIX)/share/bash-completion/completions/reroot'

clean:
	$(CARGO) clean
