# The two main targets: `make run` runs the agent on the example, `make test` runs all tests.
# Every target with a `##` is listed by `make` alone.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Several named targets run in the given order.
.NOTPARALLEL:
.DELETE_ON_ERROR:
# The tests start a thousand interpreters, each of which would otherwise compile all of its imports.
export PYTHONDONTWRITEBYTECODE :=

SUITABLE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))
# The first Python that the project supports, unless one is given: make run PYTHON=python3.12
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	if $$python -c '$(SUITABLE)' 2>/dev/null; then echo $$python; break; fi; done)
PYTHON := $(PYTHON)

# Source of `make run`: a device, URL, file or folder. Default: the cameras of CONFIG, or the example.
SOURCE ?=
CONFIG ?=
# Tests to run: make tests TESTS=tests/vision
TESTS ?= tests
# Test files are distributed to free workers in the order of tests/conftest.py. There are two more workers than cores,
# because many tests wait for brokers and cameras. Sequentially: make tests WORKERS=0
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))
PYTEST_WORKERS := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
# Tests of `make check`: without a broker, a camera, a browser or TensorFlow, and without long simulations.
FAST_TESTS := tests/alerts tests/config tests/decision/test_rules.py tests/decision/test_sequential_test.py \
	tests/decision/test_tracker.py tests/fleet/test_messages.py tests/host tests/messages tests/vision \
	tests/promises/test_config_promise.py tests/promises/test_message_documents.py tests/promises/test_repository.py \
	tests/test_domain.py tests/test_governor.py tests/test_health.py tests/test_metrics.py tests/test_pauses.py \
	tests/test_status.py
# Next version, opened by `make release`.
NEXT ?=
# Further options of some targets: make scenes ARGUMENTS='--cast premiere -k pillar'
ARGUMENTS ?=

# Tools whose new versions report new errors are pinned in constraints-dev.txt. Their dependencies are not, nor are the
# libraries of the device side and TensorFlow, for which no single set of versions works everywhere.
PINNED := hypothesis import-linter mypy pytest pytest-cov pytest-timeout pytest-xdist ruff types-jsonschema types-pika-ts types-PyYAML types-tqdm uv

# The libraries of deploy/install.sh, as it installs them: pinned by hash, and wheels only.
PIP_DOWNLOAD := -m pip download --quiet --quiet --disable-pip-version-check --require-hashes --only-binary :all:
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check
# uv does not read pip's index settings.
PIP_INDEX := export UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(.venv-uv/bin/python -m pip config get global.index-url 2>/dev/null || true)}}
# The newest versions that a device can install. OpenCV 5 is named explicitly, because 4 is allowed too.
NEWEST := 'numpy>=2' 'opencv-python-headless>=5' --constraint constraints-dev.txt --editable '.[dev,demo,fleet]'

.PHONY: help run check test update-constraints update-requirements packages docs documents freeze release audit actionlint sbom checksums fix format lint types imports tests coverage proof-crashes proof-lost-writes proof-console proof-rtsp proof-capture bench test-hostile test-strangers \
	tests-opencv5 types-opencv5 tests-device test-matrix wheel \
	test-wheel deb deb-fleet test-deb apt-repository image test-image test-service test-repository test-ansible test-ansible-fleet fleet test-fleet measure-fleet test-arm64 test-homeassistant test-kiosk screenshots example scenes soak clean python

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: .venv/.installed ## Run the agent on the example recording, or SOURCE=/dev/video0, rtsp://..., a file; CONFIG=file
	@.venv/bin/edge-agent run --demo $(if $(SOURCE),--source '$(SOURCE)') $(if $(CONFIG),--config '$(CONFIG)')

check: .venv-check/.installed ## Check format, code, types, imports and the fast tests: under a minute, no TensorFlow, no root
	.venv-check/bin/ruff format --check .
	.venv-check/bin/ruff check .
	.venv-check/bin/lint-imports
	.venv-check/bin/mypy
	.venv-check/bin/pytest $(PYTEST_WORKERS) -m 'not tensorflow and not reference_data' $(FAST_TESTS)

# Some checks run one after the other beside the tests, which wait a third of their time. The output of each is printed
# as a whole, for which make needs a second job.
test: packages .venv-dev/.installed .venv-opencv5/.installed .venv-build/.installed ## Install what the tests need and check everything
	@$(MAKE) --no-print-directory format lint imports
	@# In a new checkout every worker would compile these for itself.
	@.venv-dev/bin/python -c 'import keras' 2>/dev/null & .venv-dev/bin/pytest --quiet --collect-only tests >/dev/null || true; wait
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target WORKERS=2 types types-opencv5 test-wheel tests-opencv5 & \
		status=0; $(MAKE) --no-print-directory tests || status=$$?; wait $$! || status=$$?; exit $$status

# Later versions of backports-strenum, a dependency of LiteRT, support Python 3.10 only, and uv ignores upper bounds of Python.
update-requirements: .venv-uv/.installed ## Pin what deploy/install.sh installs, by version and hash, in deploy/requirements.txt
	@printf '%s\n' 'setuptools>=77' 'backports-strenum<1.3' | .venv-uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes \
		--no-header --no-annotate --only-binary :all: --extra console --extra encrypt --extra rollout pyproject.toml - \
		--output-file deploy/requirements.txt

packages: ## Check the Debian packages that the tests need; as root, or with sudo, install what is missing
	@.ci/debian-packages tests/debian-packages.txt

fix: .venv-dev/.installed ## Format the code and apply automatic fixes
	@.venv-dev/bin/ruff format .
	@.venv-dev/bin/ruff check --fix .

format: .venv-dev/.installed ## Check the format
	.venv-dev/bin/ruff format --check .

lint: .venv-dev/.installed ## Lint the code
	.venv-dev/bin/ruff check .

# For the oldest Python. The other type checks use the current one, because the types of numpy 2 need 3.11.
types: .venv-dev/.installed ## Check the types
	.venv-dev/bin/mypy --python-version 3.10

imports: .venv-dev/.installed ## Check the import rules
	.venv-dev/bin/lint-imports

tests: .venv-dev/.installed ## Run the tests, or TESTS=tests/vision
	.venv-dev/bin/pytest $(PYTEST_WORKERS) --durations=15 $(TESTS)

# Packages covered by the fast tests. Coverage of the whole suite: PYTEST_ADDOPTS='--cov --cov-fail-under=0' make tests
COVERED := alerts config host messages vision
coverage: .venv-check/.installed ## Run the fast tests, list uncovered lines, and fail below the minimum coverage
	.venv-check/bin/pytest $(PYTEST_WORKERS) -m 'not tensorflow and not reference_data' $(COVERED:%=--cov=edge_agent/%) $(FAST_TESTS)

PROOF_FOLDER ?= build/proofs
proof-crashes: .venv-dev/.installed ## Kill the agent 300 times during broker outages (10 minutes; resumes in PROOF_FOLDER)
	.venv-dev/bin/python -m tests.proofs.crashes --kills 300 --whole-kills 10 --folder $(PROOF_FOLDER)/crashes

proof-lost-writes: .venv-dev/.installed ## Simulate hundreds of power cuts that lose every unsynced write
	.venv-dev/bin/python -m tests.proofs.lost_writes --folder $(PROOF_FOLDER)/lost_writes

proof-console: .venv-dev/.installed ## Measure the impact of 20 viewers and 50 requests a second on detection (7 minutes); ARGUMENTS=--hostile
	.venv-dev/bin/python -m tests.proofs.console_load --folder $(PROOF_FOLDER)/console $(ARGUMENTS)

proof-rtsp: .venv-dev/.installed ## Test ten kinds of network camera on a real RTSP server: one alert per event, and its delay (5 minutes)
	.venv-dev/bin/python -m tests.proofs.rtsp_kinds --folder $(PROOF_FOLDER)/rtsp

proof-capture: .venv-dev/.installed ## Measure the cost of a 1080p network camera against cv2.VideoCapture (6 minutes)
	.venv-dev/bin/python -m tests.proofs.capture --folder $(PROOF_FOLDER)/capture

# Version to compare with.
BASE ?= main
bench: .venv-dev/.installed ## Compare `edge-agent bench` of this tree with another version, alternating: make bench BASE=v1.0.0
	@.venv-dev/bin/python -m tests.proofs.compare_benches --base '$(BASE)' --folder $(PROOF_FOLDER)/benches

# Number of cases of each kind: FUZZ='--pictures 100000 --recordings 500 --models 1000 --messages 10000 --packets 10000'
FUZZ ?= --pictures 20000 --recordings 40 --models 300 --messages 10000 --packets 10000
test-hostile: .venv-dev/.installed ## Test the components with hostile and mutated pictures, requests, files, names and models
	.venv-dev/bin/pytest $(PYTEST_WORKERS) tests/hostile
	.venv-dev/bin/python -m tests.hostile.fuzz $(FUZZ)

update-constraints: .venv-uv/.installed ## Pin the newest development tools in constraints-dev.txt
	@printf '%s\n' $(PINNED) | .venv-uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-deps \
		--no-annotate --custom-compile-command 'make update-constraints' --output-file constraints-dev.txt - >/dev/null

documents: .venv-dev/.installed ## Write the JSON Schemas and asyncapi.yaml of the messages to docs/
	@.venv-dev/bin/python -m docs.site.documents docs

docs: .venv-docs/.installed ## Build the documentation site into build/site; broken links are errors
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build
	@! grep --recursive --include='*.html' --extended-regexp '<(script|link|img)[^>]+(src|href)="(https?:)?//' build/site || { \
		echo 'the site loads something from elsewhere' >&2; exit 1; }
	@echo build/site/index.html

freeze: .venv-dev/.installed ## Add new interfaces to those frozen by docs/stability.md, or remove some, in a release that may
	@.venv-dev/bin/python -m tests.promises.stability tests/promises/frozen.json

release: ## Date the changelog, commit and tag the version, and open the next: make release NEXT=1.2.0
	@.ci/release '$(NEXT)'

# If the vulnerability database is unreachable, it reports none, unless --strict is given: make audit ARGUMENTS=--strict
audit: .venv-audit/.installed ## Check device dependencies for known vulnerabilities, and audit the workflows
	.venv-audit/bin/pip-audit --disable-pip --require-hashes --requirement deploy/requirements.txt $(ARGUMENTS)
	.venv-audit/bin/zizmor --offline .github

# Go verifies downloads against its checksum database.
actionlint: ## Lint the workflows; needs Go
	@go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

sbom: .venv-audit/.installed ## Write dist/maskwatch.cdx.json, the SBOM of a device in CycloneDX
	@mkdir -p dist
	@.venv-audit/bin/cyclonedx-py requirements deploy/requirements.txt --pyproject pyproject.toml --output-reproducible \
		--output-format JSON --output-file dist/maskwatch.cdx.json

checksums: ## Write dist/SHA256SUMS for the files in dist
	@cd dist && rm -f SHA256SUMS && sha256sum -- * >SHA256SUMS && cat SHA256SUMS

# Tests of HTTP alone do not depend on OpenCV.
HTTP_TESTS := auth connection_limits schema sockets
tests-opencv5: .venv-opencv5/.installed ## Run the tests of pictures, cameras and console with OpenCV 5, numpy 2 and LiteRT only
	WORKERS_BEFORE=8 .venv-opencv5/bin/pytest $(PYTEST_WORKERS) --ignore-glob='*_in_a_browser.py' \
		$(HTTP_TESTS:%=--ignore=tests/console/test_%.py) tests/vision tests/camera tests/console

types-opencv5: .venv-opencv5/.installed ## Check the types of the device side against OpenCV 5 and numpy 2
	.venv-opencv5/bin/mypy --cache-dir .mypy_cache/opencv5 edge_agent

tests-device: .venv-device/.installed ## Run the tests that need no TensorFlow, with the dependencies of a device
	.venv-device/bin/pytest -m 'not tensorflow' --ignore=tests/converter --ignore=tests/training --ignore=tests/console --ignore=tests/fleet $(TESTS)

test-strangers: .venv-dev/.installed ## Convert the third-party models in ../shared and compare each with its original (4 minutes)
	STRANGERS=whole .venv-dev/bin/pytest -s tests/converter/commands/test_strangers.py

test-matrix: .venv-uv/.installed ## Resolve the device side to wheels for every supported system; writes docs/platforms.md
	@.venv-uv/bin/python -m tests.proofs.platforms

# Files in a wheel have the time of the commit, so that builds are byte-identical.
COMMIT_TIME = SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)}
wheel: .venv-build/.installed ## Build dist/maskwatch-*.whl
	@rm -rf build dist
	@umask 022; export $(COMMIT_TIME); \
	output=$$(.venv-build/bin/python -m build --installer=uv --wheel 2>&1) || { echo "$$output" >&2; exit 1; }
	@ls dist/*.whl

test-wheel: wheel ## Build the wheel twice, install it in an empty environment and replay the example with it
	@export $(COMMIT_TIME); $(PIP_INDEX); .ci/test-wheel dist/*.whl examples/street_door.mp4

# Targets of `make deb`: make deb ARCHITECTURES=arm64 SUITES=trixie
ARCHITECTURES ?= amd64 arm64
SUITES ?= bookworm trixie noble
deb: wheel ## Build dist/maskwatch_*.deb, or for ARCHITECTURES=arm64 SUITES=trixie
	@for suite in $(SUITES); do for architecture in $(ARCHITECTURES); do \
		deploy/build-deb dist/*.whl $$architecture $$suite; done; done

# GPG key that signs the repository: make apt-repository KEY=ADDRESS EARLIER='older/*.deb'
KEY ?=
EARLIER ?=
apt-repository: ## Build build/apt, a signed apt repository of dist/maskwatch_*.deb and EARLIER: make apt-repository KEY=...
	@deploy/apt-repository '$(KEY)' build/apt dist/maskwatch_*.deb $(EARLIER)

# The engine that builds the image, and its base: an image with Python, or, for `make test-image`, a folder with a Debian.
ENGINE ?= $(firstword $(foreach engine,podman buildah docker,$(shell command -v $(engine))))
IMAGE_BASE ?= docker.io/library/python:3.13-slim-trixie
# For several architectures: make image IMAGE_FLAGS='--platform linux/amd64,linux/arm64 --manifest maskwatch'
IMAGE_FLAGS ?= --tag maskwatch
image: wheel ## Build the container image maskwatch, by podman, buildah or docker
	$(or $(ENGINE),podman) build --build-arg BASE=$(IMAGE_BASE) --file deploy/Containerfile $(IMAGE_FLAGS) .

test-image: wheel ## Build the image with buildah, and run the example in it with a read-only root (as root)
	@deploy/test-image '$(IMAGE_BASE)'

deb-fleet: wheel ## Build dist/maskwatch-fleet_*.deb, for servers with Debian 13
	@for architecture in $(ARCHITECTURES); do deploy/build-fleet-deb dist/*.whl $$architecture; done

# Compression takes most of the time: level 0 takes a third of it, for packages a tenth larger.
test-deb: export COMPRESSION_LEVEL = 0
test-deb: .venv-build/.installed .venv-uv/.installed ## Build the packages twice, in different folders with different umasks, compare them, and run lintian
	@again=$$(mktemp --directory); second=; trap 'kill $$second 2>/dev/null || true; wait; rm -rf "$$again"' EXIT; \
		export $(COMMIT_TIME); ln -s "$$PWD/.venv-build" "$$PWD/.venv-uv" "$$again"; \
		{ umask 077; git ls-files -z | xargs --null cp --parents --preserve=timestamps --target-directory "$$again"; \
			exec $(MAKE) --no-print-directory --directory "$$again" deb deb-fleet; } & second=$$!; \
		$(MAKE) --no-print-directory deb deb-fleet; \
		wait $$second; second=; \
		for package in dist/*.deb; do cmp "$$package" "$$again/$$package"; done
	@printf '%s\0' dist/*.deb | xargs --null --max-args=1 --max-procs="$$(nproc)" lintian --fail-on error,warning

HERE = $(shell dpkg --print-architecture)
test-service: ## Follow the runbook in a booted Debian container: install, run, break, upgrade, remove (as root)
	@deploy/container.sh
	@$(MAKE) --no-print-directory deb ARCHITECTURES=$(HERE) SUITES=bookworm
	@.venv-uv/bin/python $(PIP_DOWNLOAD) --requirement deploy/requirements.txt --dest build/libraries
	@deploy/test-service dist/*_$(HERE).deb build/libraries

test-repository: ## Boot Debian 12 and 13, install by apt and by cloud-init, and wait for an alert (as root)
	@deploy/container.sh aptly:aptly gpg:gnupg
	@$(MAKE) --no-print-directory deb ARCHITECTURES=$(HERE) SUITES='bookworm trixie'
	@deploy/test-repository dist/*_$(HERE).deb

test-ansible: ## Set up a fleet with the Ansible role in two booted Debian containers (as root)
	@deploy/container.sh
	@$(MAKE) --no-print-directory .venv-ansible/.installed deb ARCHITECTURES=$(HERE) SUITES=bookworm
	@deploy/test-ansible dist/*_$(HERE).deb .venv-ansible/bin .venv-build/bin/edge-agent

test-ansible-fleet: ## Set up the servers of a fleet with the Ansible role in three Debian 13 containers (as root)
	@deploy/container.sh
	@$(MAKE) --no-print-directory .venv-ansible/.installed .venv-dev/.installed deb-fleet ARCHITECTURES=$(HERE)
	@deploy/test-ansible-fleet dist/maskwatch-fleet_*_$(HERE).deb .venv-ansible/bin .venv-dev/bin/python

fleet: .venv-dev/.installed ## Run a demo fleet on loopback: three brokers, database, pages, 200 simulated devices (as root)
	@deploy/fleet-root
	@.venv-dev/bin/python -m tests.fleet.trial

test-fleet: .venv-dev/.installed ## Kill brokers, workers and database of a fleet under load; test certificates (8 minutes, as root)
	@deploy/fleet-root
	.venv-dev/bin/python -m tests.fleet.proofs.identity
	.venv-dev/bin/python -m tests.fleet.proofs.ledger

measure-fleet: .venv-dev/.installed ## Measure a fleet: 60 alerts a second, 2,000 devices after an outage, 10,000 connections, a full queue, searches among 10 million alerts (an hour, as root)
	@deploy/fleet-root
	.venv-dev/bin/python -m tests.fleet.proofs.load steady
	.venv-dev/bin/python -m tests.fleet.proofs.load outage
	.venv-dev/bin/python -m tests.fleet.proofs.load connections
	.venv-dev/bin/python -m tests.fleet.proofs.load full-queue
	.venv-dev/bin/python -m tests.fleet.proofs.searches

test-arm64: ## Test packages and wheel in emulated arm64 Debian 12 and 13, and follow Get started on 12 (as root; slow the first time)
	@deploy/test-arm64
	@ARCHITECTURE=arm64 deploy/container.sh
	@$(MAKE) --no-print-directory .venv-dev/.installed .venv-uv/.installed deb ARCHITECTURES=arm64 SUITES='bookworm trixie'
	@deploy/test-arm64 dist/*.whl dist/*+deb12_arm64.deb dist/*+deb13_arm64.deb
	@ARCHITECTURE=arm64 deploy/test-repository dist/*+deb12_arm64.deb

# How often `make test-homeassistant` restarts agent, broker and Home Assistant, in turn: make test-homeassistant RESTARTS=20
RESTARTS ?= 6
test-homeassistant: .venv-dev/.installed ## Test discovery with a real Home Assistant (as root; slow the first time)
	@deploy/test-homeassistant $(RESTARTS)

test-kiosk: .venv-dev/.installed ## Run the display's kiosk headless, and take a screenshot (as root; needs sway, chromium and grim)
	@.venv-dev/bin/python -m tests.proofs.kiosk $(or $(PICTURE),build/kiosk.png)

screenshots: .venv-dev/.installed ## Update the console screenshots in docs/images
	@.venv-dev/bin/python -m tests.console.screenshots

example: .venv-dev/.installed ## Regenerate the example recording
	@.venv-dev/bin/python -m examples.make_recording

scenes: .venv-dev/.installed ## Run the scripted scenes and score the alerts; ARGUMENTS='--cast premiere'
	@.venv-dev/bin/python -m tests.scenes $(ARGUMENTS)

soak: .venv-dev/.installed ## Measure memory over two hours of video, at full speed; ARGUMENTS='--hours 1'
	@.venv-dev/bin/python -m tests.scenes.soak $(ARGUMENTS)

clean: ## Remove environments and build output
	rm -rf .venv .venv-build .venv-check .venv-dev .venv-opencv5 .venv-device .venv-uv .venv-ansible .venv-audit .venv-docs build dist *.egg-info .coverage
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@$(or $(PYTHON),false) -c '$(SUITABLE)' 2>/dev/null || { \
		echo "Python 3.10 to 3.14 is needed, and $(or $(PYTHON),python3) is another version;" \
			"choose one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }

# $(call install,FOLDER,PACKAGES,WHAT): create the environment unless it exists, and install into it by pip, like a device.
define install
	@test -x $(1)/bin/pip || $(PYTHON) -m venv --clear $(1)
	@echo "installing $(3) into $(1) ..."
	@$(1)/bin/python $(PIP_INSTALL) $(2)
	@touch $@
endef

# $(call uv_install,FOLDER,PACKAGES,WHAT): the same by uv, which takes seconds with its cache where pip takes minutes.
define uv_install
	@test -x $(1)/bin/python || $(PYTHON) -m venv --clear --without-pip $(1)
	@echo "installing $(3) into $(1) ..."
	@$(PIP_INDEX); .venv-uv/bin/uv pip install --quiet --python $(1)/bin/python $(2)
	@touch $@
endef

.venv/.installed: pyproject.toml setup.py | python
	$(call install,.venv,--editable '.[demo]',the device side (a minute the first time))

.venv-dev/.installed: pyproject.toml setup.py constraints-dev.txt | python .venv-uv/.installed
	$(call uv_install,.venv-dev,--constraint constraints-dev.txt --editable '.[dev$(comma)demo$(comma)train$(comma)tflite-runtime$(comma)systemd$(comma)fleet]',everything with TensorFlow (some minutes the first time))

.venv-check/.installed: pyproject.toml setup.py constraints-dev.txt | python .venv-uv/.installed
	$(call uv_install,.venv-check,--constraint constraints-dev.txt --editable '.[dev$(comma)demo$(comma)tflite-runtime$(comma)fleet]',the device side$(comma) the console$(comma) the fleet and the tools (a minute the first time))

# The man pages and the completion are generated from the command line parsers.
.venv-build/.installed: pyproject.toml setup.py | python .venv-uv/.installed
	$(call uv_install,.venv-build,--editable '.[fleet]' 'build>=1.2' 'uv>=0.8',what builds packages)

.venv-ansible/.installed: | python
	$(call install,.venv-ansible,'ansible-core>=2.16' 'ansible-lint>=24.9',Ansible)

.venv-docs/.installed: pyproject.toml setup.py | python
	$(call install,.venv-docs,--editable '.[docs]',what builds the documentation site)

.venv-audit/.installed: | python
	$(call install,.venv-audit,'cyclonedx-bom>=7' 'pip-audit>=2.9' 'zizmor>=1.30',what looks for weak spots)

.venv-opencv5/.installed: pyproject.toml setup.py constraints-dev.txt | python .venv-uv/.installed
	$(call uv_install,.venv-opencv5,$(NEWEST),the newest packages)

.venv-uv/.installed: constraints-dev.txt | python
	$(call install,.venv-uv,--constraint constraints-dev.txt uv,what installs the environments)

.venv-device/.installed: pyproject.toml setup.py constraints-dev.txt | python
	$(call install,.venv-device,--constraint constraints-dev.txt --editable '.[dev$(comma)demo]',the device side and the tests' tools)

comma := ,
