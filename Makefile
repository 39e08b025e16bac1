# One command for each thing one does with camlens. `make` alone lists them.
# Each works from a clean clone: what it needs is fetched first, once.

PYTHON ?= python3
VENV := .venv
BINARY := target/release/camlens
IMAGES := downloads/images
SECONDS_PER_FUZZ_TARGET ?= 60
# Made by scripts/conformance/zoo.py; several gigabytes, so not in the repository.
ZOO ?= target/zoo

.DEFAULT_GOAL := help
.PHONY: help setup quiet-setup run test openapi lint build demo bench scorecam architectures page fuzz sanitize conformance clean distclean

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

setup: ## fetch ONNX Runtime, the models and the demo images; once, verified
	@$(PYTHON) scripts/setup.py

# Says nothing when everything is there.
quiet-setup:
	@$(PYTHON) scripts/setup.py --quiet

# Silent but for the first build, which takes minutes and should be seen.
build: ## build the release binary
	@cargo build --release $$(test -x $(BINARY) && echo --quiet)

run: quiet-setup build ## serve on 127.0.0.1:8080 (or CAMLENS_LISTEN)
	@exec $(BINARY) serve

# The lints come first, so that the last lines are the test runner's own summary.
test: quiet-setup openapi lint ## run what CI runs: OpenAPI check, format, clippy, tests
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace; else cargo test --workspace; fi

openapi: $(VENV)/ready
	@$(VENV)/bin/openapi-spec-validator --errors all openapi.yaml

lint:
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings

$(VENV)/ready: scripts/requirements-dev.txt
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); echo "make: $(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)" >&2; exit 2; }
	@$(VENV)/bin/pip --disable-pip-version-check install --quiet --only-binary :all: --no-deps --requirement $<
	@touch $@

demo: quiet-setup build ## write the README's pictures into docs/images
	@mkdir -p docs/images
	@$(BINARY) explain $(IMAGES)/chelsea.png --model efficientnet-lite0 --compare -o docs/images/chelsea-figure.png
	@$(BINARY) explain $(IMAGES)/phantom.png --model vgg16-mri --compare -o docs/images/phantom-figure.png

bench: quiet-setup build ## measure speed and memory beside plain ONNX Runtime (BENCH=--peers: and others)
	@$(PYTHON) bench/bench.py $(BENCH)

scorecam: quiet-setup build ## measure Score-CAM over natural pictures, and its estimates (BENCH="--vgg16 DIR")
	@$(PYTHON) bench/scorecam.py $(BENCH)

architectures: quiet-setup build ## measure what a gradient costs on four architectures, beside torch's
	@$(PYTHON) bench/architectures.py $(BENCH)

page: quiet-setup build ## test the page in Chromium against the real service (needs Debian's chromium)
	@cd web/tests && npm ci --silent
	@$(BINARY) serve --listen 127.0.0.1:18090 >/dev/null & server=$$!; trap "kill $$server" EXIT; \
	for second in $$(seq 60); do $(BINARY) health --url http://127.0.0.1:18090 >/dev/null 2>&1 && break; sleep 1; done; \
	cd web/tests && CAMLENS_URL=http://127.0.0.1:18090 CAMLENS_IMAGE=../../$(IMAGES)/chelsea.png node --test

fuzz: ## fuzz each target for SECONDS_PER_FUZZ_TARGET (needs a nightly toolchain and cargo-fuzz)
	@cargo fuzz --version >/dev/null 2>&1 || { echo "make: cargo-fuzz is missing: cargo install cargo-fuzz" >&2; exit 2; }
	@for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(SECONDS_PER_FUZZ_TARGET) || exit 1; \
	done

sanitize: ## run the kernels' tests under AddressSanitizer (needs a nightly toolchain)
	@cargo +nightly --version >/dev/null 2>&1 || { echo "make: no nightly toolchain: rustup toolchain install nightly" >&2; exit 2; }
	@RUSTFLAGS=-Zsanitizer=address cargo +nightly test --package camlens-kernels --lib --tests --target-dir target/sanitize \
		--target $$(rustc --print host-tuple)

conformance: quiet-setup ## hold gradients of torchvision's classifiers against autograd (see docs/conformance.md)
	@test -d $(ZOO) || { echo "make: there is no $(ZOO): make it with scripts/conformance/zoo.py --into $(ZOO)" >&2; exit 2; }
	@cargo run --quiet --release --example conformance -- $(ZOO)

clean: ## remove what was built; keep what was fetched
	@cargo clean --quiet
	@rm -rf $(VENV) bench/out

distclean: clean ## remove what was fetched, too
	@rm -rf runtime downloads models/vgg16-mri/model.onnx models/efficientnet-lite0/model.onnx
