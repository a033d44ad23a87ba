# pg_domain_events: `make` alone explains the targets.

PG_MAJOR  ?= 15
PG_CONFIG ?= /usr/lib/postgresql/$(PG_MAJOR)/bin/pg_config
# For the command line and the tests; the extension is always built for release.
PROFILE   ?= dev
ENGINE    ?= portable

DIRECTORY := $(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
TARGET    := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
PACKAGE   := $(TARGET)/package
PGRX      := $(shell sed -n 's/^pgrx = .*"=\([0-9.]*\)".*/\1/p' Cargo.toml)
# The extension needs a server's headers and other compiler flags; the other crates are always built as one set, so that
# the features of their common dependencies never differ between two steps.
REST      := --workspace --exclude pg_domain_events --profile $(PROFILE) --locked
EXTENSION := -p pg_domain_events --no-default-features --features pg$(PG_MAJOR)
AS_ROOT    = $(if $(filter 0,$(shell id -u)),,sudo)

export PG_CONFIG
export CARGO_TARGET_DIR := $(TARGET)
# A configuration of its own: nobody's ~/.pgrx is touched.
export PGRX_HOME := $(TARGET)/pgrx-$(PG_MAJOR)
# Would put Rust backtraces into the DETAIL of SQL errors.
unexport RUST_BACKTRACE

.DEFAULT_GOAL := help
.PHONY: help demo demo-mysql test test-16 test-17 test-18 test-portable-versions lint build release test-release cli package install cli-deps deps test-deps clean bench-append bench-capture bench-connect bench-legacy bench-read bench-import bench-scan corpus soak histories fuzz sqlsmith

help: ## Show this
	@echo "pg_domain_events: targets (PG_MAJOR=$(PG_MAJOR), PG_CONFIG=$(PG_CONFIG), PROFILE=$(PROFILE))"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: cli $(if $(filter native,$(ENGINE)),install) ## See a broken legacy database fail, get ported, and count right under load (ENGINE=native: with the extension)
	@CLI="$(TARGET)/$(DIRECTORY)/domain-events" tests/demo/run.sh --engine $(ENGINE)

demo-mysql: test-deps cli $(if $(filter native,$(ENGINE)),install) ## See a legacy application in a real MariaDB fail, moved to PostgreSQL, and right there
	@CLI="$(TARGET)/$(DIRECTORY)/domain-events" tests/demo/mysql.sh --engine $(ENGINE)

# The longest tests go first, so that none goes on alone at the end.
LONGEST := port traps rights histories concurrency

test: test-deps lint install ## Everything: formatting, lints, both engines, the command line, the demo; what depends on the server on 17 too
	.ci/tests $(REST) -- $(LONGEST) ... > $(TARGET)/tests
ifeq ($(PG_MAJOR),15)
	@# The other server, and the extension for it, are made beside the tests: that is work for one processor. What fails is told below.
	@{ timeout 900 $(IN_DEBIAN) true && $(INSTALL_17); } > $(TARGET)/debian-17.log 2>&1 & \
	  KEEP_DUMPS=$(TARGET)/dumps .ci/run-tests $(PG_CONFIG) < $(TARGET)/tests; result=$$?; wait; exit $$result
	@# Bulk takes minutes and is the same on every server.
	@if timeout 900 $(IN_DEBIAN) true; then $(MAKE) test-17 FILTER='--skip bulk::' ON_15=; \
	  else echo "PostgreSQL 17 was not tested: it needs a Debian of its own, which could not be made here (the reason is above)" >&2; fi
else
	.ci/run-tests $(PG_CONFIG) < $(TARGET)/tests
endif

# The tests that depend on the server, on another one than this system has. The first time takes minutes: it fetches the server and builds
# the extension for it. 16 and 18 are in a Python wheel, 17 in a Debian of its own. TESTS="traps golden" for some of them, FILTER=.. for
# some tests. Native is C and tested whole. PL/pgSQL is not another language there: of portable it is types and formats, DDL, settings
# and rights that differ. The command line is the same.
WHEEL       := 0.6.0
DEBIAN_ROOT  = $(TARGET)/debian-17
IN_DEBIAN    = .ci/debian trixie 17 $(DEBIAN_ROOT) $(TARGET)
INSTALL_17   = $(IN_DEBIAN) make install PG_MAJOR=17 PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config CARGO_TARGET_DIR=$(TARGET)
ON_SERVER   := native attached:: ddl:: dumpable:: encoding:: partitions:: renames:: restored:: rewrite:: security:: settings:: shapes:: \
  surroundings:: unseen:: values:: virtual_columns::
EMPTY       :=
COMMA       := ,
TESTS       ?= traps=$(subst $(EMPTY) $(EMPTY),$(COMMA),$(ON_SERVER)) behaviour=native reading golden lifecycle isolation differential
# The server of the wheel was built without libxml, and has no contrib.
NOT_THERE   := --skip who_decodes_the_store_sees_each_event_once --skip t15_values_that_are_large_as_text --skip t20_types_of_every_kind --skip t20_types_without_equality
# A dump of this system's server is restored into the other.
ON_15        = cli install dumps

.PHONY: dumps
dumps: install
	KEEP_DUMPS=$(TARGET)/dumps cargo test $(REST) --lib --bins --test lifecycle other_server

test-16: ## The tests that depend on the server, on PostgreSQL 16 (pip)
test-18: ## The same on PostgreSQL 18 (pip)
test-16 test-18: test-%: cli dumps
	.ci/tests $(REST) -- $(TESTS) > $(TARGET)/tests-$*
	server=$$(.ci/wheel $(WHEEL) $* $(TARGET)/postgresql-$*) && \
	  $(MAKE) install PG_MAJOR=$* PG_CONFIG=$$server && \
	  DUMPS=$(TARGET)/dumps .ci/run-tests $$server $(NOT_THERE) $(FILTER) < $(TARGET)/tests-$*

test-17: $(ON_15) ## The same on PostgreSQL 17, in a Debian of its own (root)
	$(INSTALL_17)
	.ci/tests $(REST) -- $(TESTS) > $(TARGET)/tests-17
	$(IN_DEBIAN) env DUMPS=$(TARGET)/dumps .ci/run-tests /usr/lib/postgresql/17/bin/pg_config $(FILTER) < $(TARGET)/tests-17

# The portable engine's behaviour on servers that are had as npm packages, which have no headers: 17 is above.
EMBEDDED := 13.23.0-beta.16 14.23.0-beta.17 16.14.0-beta.17 18.4.0-beta.17

test-portable-versions: test-embedded-13 test-embedded-14 test-embedded-16 test-embedded-18 ## The portable engine's behaviour on PostgreSQL 13, 14, 16 and 18

test-embedded-%: cli
	.ci/tests $(REST) -- behaviour reading > $(TARGET)/tests-embedded
	server=$$(.ci/embedded $(filter $*.%,$(EMBEDDED)) $(TARGET)/embedded-$* $(PG_CONFIG)) && \
	  .ci/run-tests "$$server" portable:: $(FILTER) < $(TARGET)/tests-embedded

# The version of cargo-deny, which reads .deny.toml.
DENY := 0.20.2

lint: deps $(PGRX_HOME)/config.toml
	cargo fmt --all --check
	cargo clippy $(REST) --all-targets -- -D warnings
	cargo clippy $(EXTENSION) --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(REST) --no-deps
	.ci/deny $(DENY) $(TARGET)/tools
	@# No file imports what imports it.
	cargo test $(REST) --test layers -- --nocapture

build: package ## Build for use: target/release/domain-events and the extension in target/package
	cargo build --release --locked -p domain-events

cli: cli-deps
	cargo build $(REST)

release: package ## Make what is given out: Debian packages, a tarball, a distribution for PGXN, checksums: target/dist
	cargo build --profile slim --locked -p domain-events
	.ci/release $(TARGET)/slim/domain-events $(PACKAGE) $(PG_CONFIG) $(TARGET)/dist

test-release: release ## Install the packages in a Debian of their own, try them, remove them (root; PG_MAJOR=15 in bookworm, 17 in trixie)
	PACKAGES="postgresql-$(PG_MAJOR) procps" .ci/debian $(if $(filter 17,$(PG_MAJOR)),trixie,bookworm) $(PG_MAJOR) $(TARGET)/debian-release-$(PG_MAJOR) $(TARGET) \
	  .ci/try-release $(TARGET)/dist $(PG_MAJOR)

package: deps $(PGRX_HOME)/config.toml ## Build the extension as files to copy: target/package
	@rm -rf $(PACKAGE)
	cargo pgrx package -p pg_domain_events --no-default-features --features pg$(PG_MAJOR) --pg-config $(PG_CONFIG) --out-dir $(PACKAGE)
	@# The scripts that switch engines: what they know of sql/ is filled in.
	cargo run -q --locked -p domain_events_manifest -- sql pg_extension/sql $(PACKAGE)$$($(PG_CONFIG) --sharedir)/extension

install: package ## Copy the extension into the server of PG_CONFIG
	cd $(PACKAGE) && find . -type f -printf '%P\n' | while read -r file; do \
	  $(AS_ROOT) install -D -m 644 "$$file" "/$$file" || exit 1; done

bench-append: install ## Measure append_event() beside a bare INSERT and forms by hand
	cargo bench -p domain_events_tests --profile release --locked --bench append

bench-capture: install ## Measure capture beside the bare statement, the cheapest SQL and peers
	@for package in postgresql-$(PG_MAJOR)-tablelog postgresql-$(PG_MAJOR)-pgq3; do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || \
	  $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$package || \
	  echo "$$package cannot be installed: measured without it" >&2; \
	done
	cargo bench -p domain_events_tests --profile release --locked --bench capture

bench-connect: install ## Measure the first captured change of a new connection beside the same plain update
	cargo bench -p domain_events_tests --profile release --locked --bench connect

bench-legacy: install ## Measure the next version of a ported table beside a plain insert, in streams of 10 and of 100,000 events
	cargo bench -p domain_events_tests --profile release --locked --bench legacy

bench-read: install ## Measure reading the whole store beside a scan by position, and a reader's lag behind 16 writers
	cargo bench -p domain_events_tests --profile release --locked --bench read

bench-import: cli-deps ## Measure an import of events beside psql's \copy of the same rows, and its memory (BENCH_EVENTS=1000000, BENCH_ROUNDS=3)
	cargo build --release --locked -p domain-events
	@CLI="$(TARGET)/release/domain-events" tests/benches/import.sh

bench-scan: cli-deps ## Measure a scan of 1,000 migrations and of a dump of 100 MB: CPU seconds, memory (BENCH_MIGRATIONS=1000, BENCH_DUMP_MB=100)
	cargo build --release --locked -p domain-events
	@CLI="$(TARGET)/release/domain-events" tests/benches/scan.sh

corpus: deps ## The table over the legacy schemas of tests/corpus: found, right source, strategy, verified
	cargo test $(REST) --test port corpus

soak: install ## Random sessions, kills and crashes on both engines, every event accounted for (SOAK_SECONDS=600, SOAK_SEED=n)
	SOAK_SECONDS=$(or $(SOAK_SECONDS),600) cargo test $(REST) --test soak -- --nocapture --test-threads=1

histories: install ## Random histories on both engines, what each reader saw of them beside what is stored, crashes under them (HISTORY_SECONDS=20, HISTORY_ROUNDS=30, HISTORY_CRASHES=10, HISTORY_SEED=n)
	HISTORY_SECONDS=$(or $(HISTORY_SECONDS),20) HISTORY_ROUNDS=$(or $(HISTORY_ROUNDS),30) HISTORY_CRASHES=$(or $(HISTORY_CRASHES),10) \
	  cargo test $(REST) --test histories -- --nocapture --test-threads=1

fuzz: cli-deps ## Random texts through everything that reads files, URLs and plans, an hour for each reader (FUZZ_SECONDS=3600, FUZZ_SEED=n)
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),3600) cargo test $(REST) --test fuzz -- --nocapture --test-threads=2

sqlsmith: install ## Random queries against the native engine: no server crash (QUERIES=2000; needs the package sqlsmith)
	PG_CONFIG=$(PG_CONFIG) tests/robustness/sqlsmith.sh $(or $(QUERIES),2000)

cli-deps:
	@.ci/deps $(PG_MAJOR) $(PGRX) cli

deps: ## Install what is missing to build: PostgreSQL, clang, cargo-pgrx
	@.ci/deps $(PG_MAJOR) $(PGRX) build

test-deps: ## Install what is missing to test: that, MariaDB and pgbouncer
	@.ci/deps $(PG_MAJOR) $(PGRX) tests

# pgrx looks up the server here; `cargo pgrx init` would write the same two lines and run initdb.
$(PGRX_HOME)/config.toml:
	@mkdir -p $(@D)
	@printf '[configs]\npg%s = "%s"\n' $(PG_MAJOR) $(PG_CONFIG) > $@

clean: ## Remove everything that was built
	cargo clean
