# Front door. Everything here calls CMake or a script; `make help` lists the words.
SHELL := /bin/bash
PRESET ?= release
BUILD := build$(if $(filter-out release,$(PRESET)),/$(PRESET))

.PHONY: bench-% coverage fuzz help build demo demo-llm test test-sanitizers test-arm test-models run install clean packages packages-test format lint

help:
	@echo "make demo       install what is missing, build, and find the cheapest way to serve a Fashion-MNIST ResNet"
	@echo "make demo-llm   the same for a small language model (GGUF)"
	@echo "make test       install what is missing, build, run every test but the longest (make test-models)"
	@echo "make build      build/bin/pare and build/bin/pare-worker"
	@echo "make run        serve on http://127.0.0.1:7878 with a local agent; data in ./demo-data"
	@echo "make test-arm   cross-build for arm64 and measure on an emulated board, by way of a bundle"
	@echo "make install    the programs, their libraries and a systemd unit (PREFIX=/usr/local)"
	@echo "make bench-NAME a benchmark of tests/bench: compress, accuracy, gguf, decide, ...; make fuzz runs the fuzz targets"

packages:
	@bash scripts/install-packages.sh build
	@bash scripts/fetch-runtimes.sh

packages-test: packages
	@bash scripts/install-packages.sh test

build: packages
	@bash scripts/build-web.sh
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build $(BUILD) -- --quiet

demo: build
	@bash scripts/demo.sh fashion-mnist

demo-llm: build
	@bash scripts/demo.sh docs-llm

test: packages-test
	@bash scripts/test.sh

# Every test under ASan+UBSan and under TSan too (make test runs a chosen part of them there): about half an hour.
test-sanitizers: packages-test
	@PARE_SANITIZERS=all bash scripts/test.sh

# What the tests reach, line by line: build/coverage/report/index.html.
coverage: packages-test
	@bash scripts/coverage.sh

# The figures of whole recipes on the reference models (PARE_MODELS), which take minutes each.
test-models: packages-test build
	@cmake --build $(BUILD) -- --quiet
	@ctest --test-dir build --output-on-failure -L long

test-arm: packages-test build
	@ctest --test-dir build --output-on-failure -L arm

run: build
	build/bin/pare serve --data demo-data

install: build
	@cmake --install build --prefix $(or $(PREFIX),/usr/local)

# make bench-aa: false alarms and planted slowdowns of comparison runs (500 of each; ARGS="--comparisons 50" for fewer, --jobs N for N at once).
# make bench-compress, bench-gguf, bench-decide, ...: builds tests/bench/*/bench_NAME.c and runs it; ARGS="..." are its arguments.
bench-%: build
	@cmake --build $(BUILD) --target bench_$(subst -,_,$*) -- --quiet
	$(BUILD)/bench/bench_$(subst -,_,$*) $(ARGS)

# make fuzz SECONDS_EACH=60: every libFuzzer target for that long, from its corpus; findings stay in build/fuzz/found.
fuzz: packages-test
	@bash scripts/fuzz.sh $(or $(SECONDS_EACH),60)

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

lint: packages
	@bash scripts/install-packages.sh lint
	@bash scripts/lint.sh

clean:
	rm -rf build
