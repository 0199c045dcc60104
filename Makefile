# A thin front: Meson builds, scripts/ run.  `make help` lists what there is.
BUILD      ?= build
TEST_BUILD ?= build/test
MESON      ?= meson
PYTEST     ?= /usr/bin/python3 -m pytest

.PHONY: all deps test test-unit test-e2e test-long test-clients demo lint bench install clean help

all: $(BUILD)/release/build.ninja ## build everything (build/release)
	$(MESON) compile -C $(BUILD)/release

$(BUILD)/release/build.ninja:
	$(MESON) setup $(BUILD)/release --buildtype=release

$(TEST_BUILD)/build.ninja:
	$(MESON) setup $(TEST_BUILD) -Db_sanitize=address,undefined -Db_lundef=false -Dtest_hooks=true

deps: ## install what is needed on Debian 12 (apt; a newer Pebble where Go is present)
	scripts/deps

test: deps ## install, build with ASan and UBSan, run all tests; ends with "N passed, N failed, N skipped"
	scripts/run-tests

test-long: deps ## what takes longer: fuzzers for 10 minutes each, clang build
	scripts/run-tests --long

test-clients: all ## run public clients (npm scalingo, clever-tools, curl, Scalingo's CLI, Terraform) against the API
	POSTERN_BUILD=$(BUILD)/release scripts/test-clients

demo: deps all ## see a domain go from added to HTTPS, on real parts (DEMO_ONCE=1: end by itself)
	scripts/demo

lint: ## formatting, includes, sizes, banned calls, manual pages
	scripts/lint

bench: deps all ## measure against peers in the same run
	bench/run

install: all ## install (DESTDIR, and meson's prefix, are honoured)
	$(MESON) install -C $(BUILD)/release

clean: ## remove what was built (the tools that deps built stay)
	rm -rf $(BUILD)/release $(TEST_BUILD)

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
